package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pulledAtOnce is how many messages a reader asks for; it asks again when half of them have come.
const pulledAtOnce = 500

// errMute says that a server did not even say that there is nothing to tell.
var errMute = errors.New("the server is silent")

// puller asks for the messages of a reader. The client's library has the like, but takes the headers
// of a message without content for words of the server: whoever may write one key could keep all
// readers of the bucket from everything that is in it. Here a message is what
// has the server's number, which stands where no writer can write.
type puller struct {
	b            *Bus
	subject      string
	every, until time.Duration
	inbox        string
	answers      *nats.Subscription
	came         chan *nats.Msg
	silence      *time.Timer
	// left is how many messages may still come without another question.
	left int
}

// pulls returns a puller of a reader, who is to be stopped. every and until are as in Bus.pull.
func (b *Bus) pulls(consumer jetstream.Consumer, every, until time.Duration) (*puller, error) {
	info := consumer.CachedInfo()
	p := &puller{
		b: b, subject: b.api + "CONSUMER.MSG.NEXT." + info.Stream + "." + info.Name, every: every, until: until,
		inbox: b.nc.NewInbox(), came: make(chan *nats.Msg, 2*pulledAtOnce), silence: time.NewTimer(2 * every),
	}
	var err error
	if p.answers, err = b.nc.ChanSubscribe(p.inbox, p.came); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *puller) stop() {
	p.silence.Stop()
	_ = p.answers.Unsubscribe() // the connection is gone, and it with it
}

// pulled is one message of a stream, as the server numbers it.
type pulled struct {
	*nats.Msg
	meta *nats.MsgMetadata
}

// next waits for the next message.
func (p *puller) next(ctx context.Context) (pulled, error) {
	p.silence.Reset(2 * p.every)
	for {
		if err := p.ask(); err != nil {
			return pulled{}, err
		}
		select {
		case <-ctx.Done():
			return pulled{}, ctx.Err()
		case <-p.silence.C:
			p.b.doubt()
			return pulled{}, errMute
		case m := <-p.came:
			if m.Reply != "" {
				p.left--
				meta, err := m.Metadata()
				return pulled{m, meta}, err
			}
			if err := p.hear(m); err != nil {
				return pulled{}, err
			}
			p.silence.Reset(2 * p.every)
		}
	}
}

// ask asks for more messages, if not enough may come.
func (p *puller) ask() error {
	if p.left >= pulledAtOnce/2 {
		return nil
	}
	more := pulledAtOnce - p.left
	question, err := json.Marshal(map[string]any{"batch": more, "expires": p.until, "idle_heartbeat": p.every})
	if err != nil {
		return err
	}
	if err := p.b.nc.PublishRequest(p.subject, p.inbox, question); err != nil {
		return err
	}
	p.left += more
	return nil
}

// hear takes what the server says of a question: that it still stands, or how many messages will not
// come by it any more.
func (p *puller) hear(m *nats.Msg) error {
	status := m.Header.Get("Status")
	if status == "100" {
		return nil
	}
	left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
	if err != nil {
		return fmt.Errorf("%s %s", status, m.Header.Get("Description"))
	}
	p.left = max(0, p.left-left)
	return nil
}
