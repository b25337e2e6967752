package scalercase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/scaling"
)

func readService(values []json.RawMessage) (acceptance.Step, error) {
	var name string
	var o serviceOptions
	err := acceptance.Fill(values, &name, &o)
	err = errors.Join(err, o.check())
	o.start = o.Start.d
	s, errName := each(name, func(ctx context.Context, w *world, name string) error { return w.swarm.create(name, o) })
	return saying(s), errors.Join(err, errName)
}

// saying has the proxy say what is open when the services are others than before.
func saying(s acceptance.Step) acceptance.Step {
	do := s.Do
	s.Do = step("", func(ctx context.Context, w *world) error {
		if err := do(ctx, w); err != nil {
			return err
		}
		return w.keepSaying(ctx)
	}).Do
	return s
}

func readTasks(values []json.RawMessage) (acceptance.Step, error) {
	var name string
	var o taskOptions
	err := acceptance.Fill(values, &name, &o)
	o.start, o.isStart = o.Start.d, o.Start.isGiven
	if o.Running == nil && o.Failing == nil && o.Pending == nil && o.Nodes == nil && !o.isStart {
		err = errors.Join(err, errors.New("want something"))
	}
	s, errName := each(name, func(_ context.Context, w *world, name string) error { return w.swarm.arrange(name, o) })
	return s, errors.Join(err, errName)
}

func readDeploy(values []json.RawMessage) (acceptance.Step, error) {
	var name string
	var o deployOptions
	err := acceptance.Fill(values, &name, &o)
	err = errors.Join(err, among("failure", o.Failure, "", "pause", "continue", "rollback"))
	s, errName := each(name, func(_ context.Context, w *world, name string) error { return w.swarm.deploy(name, o) })
	return saying(s), errors.Join(err, errName)
}

func readUpdate(values []json.RawMessage) (acceptance.Step, error) {
	var name, state string
	err := acceptance.Fill(values, &name, &state)
	err = errors.Join(err, among("state", state, "updating", "paused", "completed", "rollback_started", "rollback_completed", "rollback_paused"))
	s, errName := each(name, func(_ context.Context, w *world, name string) error { return w.swarm.says(name, state) })
	return s, errors.Join(err, errName)
}

func readPerson(values []json.RawMessage) (acceptance.Step, error) {
	var name string
	var n uint64
	err := acceptance.Fill(values, &name, &n)
	s, errName := each(name, func(_ context.Context, w *world, name string) error { return w.swarm.person(name, n) })
	return s, errors.Join(err, errName)
}

func readDocker(values []json.RawMessage) (acceptance.Step, error) {
	var o dockerOptions
	err := acceptance.Fill(values, &o)
	err = errors.Join(err, o.check())
	return step("", func(_ context.Context, w *world) error { return w.swarm.breaks(o) }), err
}

// breaks makes the Docker API do what a case says.
func (s *swarm) breaks(o dockerOptions) error {
	names, err := expand(o.Service)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if name != "" && s.services[name] == nil {
			return fmt.Errorf("there is no service %s", name)
		}
		switch {
		case o.Fail != "":
			s.fails[name] = true
		case o.Conflict != nil:
			s.conflict[name] = &conflict{*o.Conflict, o.Replicas}
		}
	}
	if o.Hang != "" && s.hung == nil {
		s.hung = make(chan struct{})
	}
	if o.OK {
		clear(s.fails)
		clear(s.conflict)
		if s.hung != nil {
			close(s.hung)
			s.hung = nil
		}
	}
	return nil
}

func readPeer(values []json.RawMessage) (acceptance.Step, error) {
	var who, what string
	err := acceptance.Fill(values, &who, &what)
	err = errors.Join(err, among("peer", who, "bus", "alertmanager", "prometheus"), among("state", what, string(isOK), string(isAway), string(isHung)))
	return step(who, func(_ context.Context, w *world) error {
		if who != "bus" {
			return w.peers[who].is(state(what))
		}
		w.busState = state(what)
		var errs []error
		for _, i := range w.instances {
			errs = append(errs, i.bus.is(w.busState))
		}
		return errors.Join(errs...)
	}), err
}

func readMetric(values []json.RawMessage) (acceptance.Step, error) {
	if len(values) != 2 {
		return acceptance.Step{}, fmt.Errorf("it has %d values, want 2", len(values))
	}
	var name string
	err := acceptance.Strict(values[0], &name)
	var text *string
	if string(values[1]) != "null" {
		var v word
		err = errors.Join(err, v.UnmarshalJSON(values[1]))
		text = v.text
	}
	s, errName := each(name, func(_ context.Context, w *world, name string) error {
		id, err := w.swarm.idOf(name)
		if err == nil {
			w.prom.set(id, text)
		}
		return err
	})
	return s, errors.Join(err, errName)
}

func (s *swarm) idOf(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if svc := s.services[name]; svc != nil {
		return svc.id, nil
	}
	return "", fmt.Errorf("there is no service %s", name)
}

func readProxy(values []json.RawMessage) (acceptance.Step, error) {
	if len(values) != 2 {
		return acceptance.Step{}, fmt.Errorf("it has %d values, want 2", len(values))
	}
	name, err := orNull(values[0])
	var o proxyOptions
	err = errors.Join(err, acceptance.Strict(values[1], &o))
	if name == nil {
		if !o.Silent || o.Open != nil || o.Wake {
			err = errors.Join(err, errors.New("without a name want silent"))
		}
		return step("", func(ctx context.Context, w *world) error {
			w.isSilent = true
			w.stopProxy()
			// What it said is as old as can be.
			return w.proxy.Delete(ctx, scaling.OpenPrefix+"proxy-1")
		}), err
	}
	if o.Silent || o.Open == nil && !o.Wake {
		err = errors.Join(err, errors.New("want open or wake"))
	}
	s, errName := each(*name, func(ctx context.Context, w *world, name string) error {
		id, err := w.swarm.idOf(name)
		if err != nil {
			return err
		}
		if o.Open != nil {
			w.isSilent = false
			if w.open[id] = *o.Open; *o.Open == 0 {
				delete(w.open, id)
			}
			err = w.keepSaying(ctx)
		}
		if o.Wake && err == nil {
			var value []byte
			value, err = catalog.Encode(scaling.Wake{ServiceID: id, Service: name, Proxy: "proxy-1", At: w.clock.Now()})
			if err == nil {
				_, err = w.proxy.Put(ctx, scaling.WakePrefix+id, value)
			}
		}
		return err
	})
	return s, errors.Join(err, errName)
}

func readStop(values []json.RawMessage) (acceptance.Step, error) {
	if len(values) != 1 {
		return acceptance.Step{}, fmt.Errorf("it has %d values, want 1", len(values))
	}
	reason, err := orNull(values[0])
	return step("", func(ctx context.Context, w *world) error {
		method, path := http.MethodDelete, "/v1/stop"
		if reason != nil {
			method, path = http.MethodPut, "/v1/stop?"+url.Values{"reason": {*reason}}.Encode()
		}
		status, body, err := w.ask(ctx, method, path, nil, nil)
		if err == nil && status/100 != 2 {
			err = fmt.Errorf("status %d: %s", status, body)
		}
		return err
	}), err
}

func readAway(values []json.RawMessage) (acceptance.Step, error) {
	return step("", func(_ context.Context, w *world) error {
		w.away()
		return nil
	}), acceptance.Fill(values)
}

func readBack(values []json.RawMessage) (acceptance.Step, error) {
	return step("", func(ctx context.Context, w *world) error { return w.begun(ctx) }), acceptance.Fill(values)
}

// begun starts scalers that know of the catalog as it is.
func (w *world) begun(ctx context.Context) error {
	if err := w.publish(ctx); err != nil {
		return err
	}
	return w.start(ctx)
}

func readRestart(values []json.RawMessage) (acceptance.Step, error) {
	return step("", func(ctx context.Context, w *world) error {
		w.away()
		return w.begun(ctx)
	}), acceptance.Fill(values)
}

func readInstances(values []json.RawMessage) (acceptance.Step, error) {
	var n int
	err := acceptance.Fill(values, &n)
	if n < 1 || n > 9 {
		err = errors.Join(err, errors.New("want 1 to 9"))
	}
	return step("", func(ctx context.Context, w *world) error {
		w.want = n
		if n < len(w.instances) {
			w.away()
		}
		return w.begun(ctx)
	}), err
}

func readKillAt(values []json.RawMessage) (acceptance.Step, error) {
	var point string
	err := acceptance.Fill(values, &point)
	_, _, errPoint := readPoint(point)
	return step(point, func(_ context.Context, w *world) error { return w.endAt(point) }), errors.Join(err, errPoint)
}

func readAdvance(values []json.RawMessage) (acceptance.Step, error) {
	var d span
	err := acceptance.Fill(values, &d)
	return step(time.Duration(d).String(), func(ctx context.Context, w *world) error { return w.advance(ctx, time.Duration(d)) }), err
}

func readMark(values []json.RawMessage) (acceptance.Step, error) {
	return step("", func(_ context.Context, w *world) error {
		w.calls, w.queries = w.swarm.called(), w.prom.asked()
		return nil
	}), acceptance.Fill(values)
}

func (s *swarm) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// firing is an alert that Alertmanager delivers.
type firing struct {
	labels, annotations map[string]string
	startsAt            time.Time
	fingerprint         string
	stop                func()
}

func alertKey(name, direction, alertname string) string {
	if alertname == "" {
		alertname = usualName(direction)
	}
	return name + " " + direction + " " + alertname
}

func usualName(direction string) string {
	if direction == "up" {
		return "slow"
	}
	return "idle"
}

// body is the delivery of an alert.
func (f *firing) body(status string, now time.Time) []byte {
	ends := "0001-01-01T00:00:00Z"
	if status == "resolved" {
		ends = now.UTC().Format(time.RFC3339Nano)
	}
	encoded, err := json.Marshal(map[string]any{
		"version": "4", "groupKey": "{}:{}", "status": status, "receiver": "scaler", "groupLabels": map[string]string{}, "commonLabels": map[string]string{},
		"alerts": []any{map[string]any{
			"status": status, "labels": f.labels, "annotations": f.annotations, "startsAt": f.startsAt.UTC().Format(time.RFC3339Nano),
			"endsAt": ends, "fingerprint": f.fingerprint,
		}},
	})
	if err != nil {
		panic(err) // it is of texts
	}
	return encoded
}

func readFire(values []json.RawMessage) (acceptance.Step, error) {
	var name, direction string
	var o fireOptions
	err := fill(values, &name, &direction, &o)
	if len(values) < 2 {
		err = errors.New("want a name and a direction")
	}
	err = errors.Join(err, among("direction", direction, "up", "down"))
	if o.Settle != "" {
		_, errSettle := parseTime(o.Settle)
		err = errors.Join(err, errSettle)
	}
	s, errName := each(name, func(ctx context.Context, w *world, name string) error { return w.fire(ctx, name, direction, o) })
	return s, errors.Join(err, errName)
}

func (w *world) fire(ctx context.Context, name, direction string, o fireOptions) error {
	key := alertKey(name, direction, o.Alertname)
	alertname := o.Alertname
	if alertname == "" {
		alertname = usualName(direction)
	}
	f := &firing{
		labels:      map[string]string{"service": name, "scale": direction, "type": "service", "alertname": alertname},
		annotations: map[string]string{"summary": alertname}, startsAt: w.clock.Now(), fingerprint: key, stop: func() {},
	}
	if o.By.text != nil {
		f.labels["by"] = *o.By.text
	}
	if o.Settle != "" {
		f.annotations["settle"] = o.Settle
	}
	if o.StartsAt != nil {
		f.startsAt = *o.StartsAt
	}
	if old := w.alerts[key]; old != nil {
		old.stop()
	}
	w.alerts[key] = f
	if !o.Once {
		var again func()
		again = func() {
			f.stop = w.own.AfterFunc(time.Minute, again)
			if i, err := w.first(); err == nil {
				// What is not taken is delivered again.
				_, _, _ = w.call(ctx, i, http.MethodPost, "/v1/alerts", nil, f.body("firing", w.clock.Now()))
			}
		}
		f.stop = w.own.AfterFunc(time.Minute, again)
	}
	return w.deliver(ctx, f, "firing")
}

// deliver delivers an alert; the answer is not compared, and there may be none.
func (w *world) deliver(ctx context.Context, f *firing, status string) error {
	if _, err := w.first(); err != nil {
		return nil
	}
	_, _, _ = w.ask(ctx, http.MethodPost, "/v1/alerts", nil, f.body(status, w.clock.Now()))
	return nil
}

type nameOptions struct {
	Alertname string `json:"alertname"`
}

func readOlder(values []json.RawMessage, do func(context.Context, *world, *firing) error) (acceptance.Step, error) {
	var name, direction string
	var o nameOptions
	err := fill(values, &name, &direction, &o)
	if len(values) < 2 {
		err = errors.New("want a name and a direction")
	}
	s, errName := each(name, func(ctx context.Context, w *world, name string) error {
		f := w.alerts[alertKey(name, direction, o.Alertname)]
		if f == nil {
			return errors.New("no such alert was fired")
		}
		return do(ctx, w, f)
	})
	return s, errors.Join(err, errName)
}

func readResolve(values []json.RawMessage) (acceptance.Step, error) {
	return readOlder(values, func(ctx context.Context, w *world, f *firing) error {
		f.stop()
		return w.deliver(ctx, f, "resolved")
	})
}

func readAgain(values []json.RawMessage) (acceptance.Step, error) {
	return readOlder(values, func(ctx context.Context, w *world, f *firing) error { return w.deliver(ctx, f, "firing") })
}

func readWebhook(values []json.RawMessage) (acceptance.Step, error) {
	var o webhookOptions
	var want webhookAnswer
	err := acceptance.Fill(values, &o, &want)
	err = errors.Join(err, checkStatus(want.Status))
	body := []byte(o.Body)
	var text string
	if json.Unmarshal(o.Body, &text) == nil {
		body = []byte(text)
	}
	if o.Pad != "" {
		var mib int
		if _, errPad := fmt.Sscanf(o.Pad, "%dMiB", &mib); errPad != nil {
			err = errors.Join(err, fmt.Errorf("pad %q: want such as 7MiB", o.Pad))
		}
		for padded := make([]byte, 0, mib<<20); len(body) < mib<<20; body = padded {
			padded = append(padded, body...)
			for len(padded) < mib<<20 {
				padded = append(padded, ' ')
			}
		}
	}
	method := o.Method
	if method == "" {
		method = http.MethodPost
	}
	return step(o.Path, func(ctx context.Context, w *world) error {
		status, answer, err := w.ask(ctx, method, o.Path, o.Headers, body)
		switch {
		case err != nil:
			return err
		case !isStatus(want.Status, status):
			return fmt.Errorf("the status is %d, want %v: %s", status, want.Status, answer)
		case want.Body != "" && !contains(plain(answer), want.Body):
			return fmt.Errorf("the answer is %s, want %q in it", answer, want.Body)
		}
		return nil
	}), err
}

// plain is an answer with the texts in it as they are meant, behind those that are written.
func plain(answer []byte) string {
	var fields map[string]any
	text := string(answer)
	if json.Unmarshal(answer, &fields) == nil {
		for _, v := range fields {
			text += " " + fmt.Sprint(v)
		}
	}
	return text
}

func readHand(values []json.RawMessage) (acceptance.Step, error) {
	var o handOptions
	var want handAnswer
	err := acceptance.Fill(values, &o, &want)
	err = errors.Join(err, checkStatus(want.Status))
	if o.Scale == "" && o.To.text == nil {
		err = errors.Join(err, errors.New("want scale or to"))
	}
	s, errName := each(o.Service, func(ctx context.Context, w *world, name string) error { return w.hand(ctx, name, o, want) })
	return s, errors.Join(err, errName)
}

func (w *world) hand(ctx context.Context, name string, o handOptions, want handAnswer) error {
	q := url.Values{"service": {name}}
	for field, text := range map[string]*string{"scale": &o.Scale, "by": o.By.text, "to": o.To.text, "id": &o.ID} {
		if text != nil && *text != "" {
			q.Set(field, *text)
		}
	}
	if o.Force != nil {
		q.Set("force", strconv.FormatBool(*o.Force))
	}
	i, err := w.first()
	if err != nil {
		return err
	}
	mayEnd := w.armed()
	type result struct {
		status int
		body   []byte
		err    error
		took   time.Duration
	}
	results := make(chan result, max(o.Times, 1))
	if err := w.await(ctx, func(ctx context.Context) error {
		var all sync.WaitGroup
		for range max(o.Times, 1) {
			all.Go(func() {
				began := time.Now()
				status, body, err := w.call(ctx, i, http.MethodPost, "/v1/scale-service?"+q.Encode(), nil, nil)
				results <- result{status, body, err, time.Since(began)}
			})
		}
		all.Wait()
		return nil
	}); err != nil {
		return err
	}
	for range max(o.Times, 1) {
		r := <-results
		if mayEnd && (r.err != nil || i.gone.Err() != nil && r.status >= 500) {
			continue
		}
		if r.err != nil {
			return r.err
		}
		if err := want.compare(r.status, r.body, r.took); err != nil {
			return err
		}
	}
	return nil
}

// decided is a decision as it is told.
type decided struct {
	Code    string  `json:"code"`
	Want    string  `json:"want"`
	From    *uint64 `json:"from"`
	To      *uint64 `json:"to"`
	Reason  string  `json:"reason"`
	Message string  `json:"message"`
}

func isNumber(want, got *uint64) bool { return want == nil || got != nil && *got == *want }

func (want handAnswer) compare(status int, body []byte, took time.Duration) error {
	var got struct {
		Message  string  `json:"message"`
		Decision decided `json:"decision"`
	}
	_ = json.Unmarshal(body, &got) // an answer that is none is not as it should be
	d := got.Decision
	switch {
	case !isStatus(want.Status, status):
		return fmt.Errorf("the status is %d, want %v: %s", status, want.Status, body)
	case want.Code != "" && d.Code != want.Code, want.Want != "" && d.Want != want.Want, !isNumber(want.From, d.From), !isNumber(want.To, d.To):
		return fmt.Errorf("the decision is not as it should be: %s", body)
	case want.Message != "" && !contains(got.Message, want.Message):
		return fmt.Errorf("the message is %q, want %q in it", got.Message, want.Message)
	case want.Within != nil && took > time.Duration(*want.Within):
		return fmt.Errorf("it took %s, want %s at most", took, time.Duration(*want.Within))
	}
	return nil
}
