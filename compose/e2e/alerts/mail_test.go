package alerts

import (
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// letter is one that has come to a mailbox.
type letter struct {
	from, to, subject, text string
}

// post is a mail server for one user, which takes letters over TLS alone.
type post struct {
	user, password string
	letters        chan letter
}

// carrier is one connection to it.
type carrier struct {
	post  *post
	known bool
	now   letter
}

func (c *carrier) Reset()                 { c.now = letter{} }
func (*carrier) Logout() error            { return nil }
func (*carrier) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *carrier) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if c.known = user == c.post.user && password == c.post.password; !c.known {
			return errors.New("wrong user or password")
		}
		return nil
	}), nil
}

func (c *carrier) Mail(from string, _ *smtp.MailOptions) error {
	if !c.known {
		return smtp.ErrAuthRequired
	}
	c.now.from = from
	return nil
}

func (c *carrier) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.now.to = to
	return nil
}

func (c *carrier) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		return err
	}
	c.now.subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	c.now.text = strings.ReplaceAll(string(body), "=\r\n", "")
	c.post.letters <- c.now
	return err
}

// mailbox starts such a server, and returns its address and the certificate by which it is
// known.
func mailbox(t *testing.T, p *post) (address, ca string) {
	t.Helper()
	issued := certtest.Self(t, "localhost")
	cert, err := tls.X509KeyPair([]byte(issued.Cert), []byte(issued.Key))
	tooltest.Must(t, err)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	tooltest.Must(t, os.WriteFile(ca, []byte(issued.Cert), 0o600))
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &carrier{post: p}, nil }))
	s.Domain, s.TLSConfig = "localhost", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	ln := tooltest.Listen(t, "127.0.0.1:0")
	go func() { _ = s.Serve(ln) }() // It ends when it is closed.
	t.Cleanup(func() { _ = s.Close() })
	_, port, _ := strings.Cut(ln.Addr().String(), ":")
	return "localhost:" + port, ca
}

// TestMailArrives: people get an alert, its end, and what the scaler has decided by letters in
// words, over TLS and with the password of the secret.
func TestMailArrives(t *testing.T) {
	t.Parallel()
	p := &post{user: "waggle@example.com", password: "swordfish", letters: make(chan letter, 10)}
	address, ca := mailbox(t, p)
	url := startWith(t, "alertmanager-email.yml", p.password, []string{"SSL_CERT_FILE=" + ca}, "mail.example.com:587", address, "group_interval: 1m", "group_interval: 1s")
	now := time.Now().UTC()
	alert := func(ends time.Time) string {
		return `[{"labels":{"alertname":"closed","service":"shop_web","severity":"critical"},"annotations":{"summary":"The shop is closed","runbook_url":"https://docs.example.com/closed"},` +
			`"startsAt":"` + now.Add(-time.Minute).Format(time.RFC3339) + `","endsAt":"` + ends.Format(time.RFC3339) + `"}]`
	}
	say(t, url, alert(now.Add(time.Hour)))
	want := func(subject string, words ...string) {
		t.Helper()
		select {
		case got := <-p.letters:
			if got.from != "waggle@example.com" || got.to != "operators@example.com" || got.subject != subject {
				t.Errorf("%+v, want the subject %q", got, subject)
			}
			for _, w := range words {
				if !strings.Contains(got.text, w) {
					t.Errorf("%q is not in\n%s", w, got.text)
				}
			}
		case <-time.After(60 * time.Second):
			t.Fatalf("no letter %q came", subject)
		}
	}
	want("[FIRING critical] closed shop_web", "The shop is closed", "What to do: https://docs.example.com/closed")
	say(t, url, alert(now))
	want("[RESOLVED critical] closed shop_web", "The shop is closed")
	say(t, url, `[{"labels":{"alertname":"scale_service","service":"shop_web"},"annotations":{"summary":"shop_web was scaled from 2 to 3"}}]`)
	want("shop_web", "shop_web was scaled from 2 to 3")
}
