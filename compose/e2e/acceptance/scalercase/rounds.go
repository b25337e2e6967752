package scalercase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/scaler"
)

// How a scaler is asked for the step of a round.
const (
	byAlert = "alert"
	byHand  = "hand"
)

// mostCalls is up to which call scalers are cut off in rounds: that is more than two of
// them make of Docker and the bus for one step.
const mostCalls = 20

// perCase is how many rounds are one case, whose scalers and bus are its own.
const perCase = 20

// Rounds is a file of cases with so many rounds in all. In each of them two scalers are
// asked for a step, and whichever comes to a certain point, or makes a certain call, is
// ended as by kill -9. Of all points and calls each is tried before one is repeated.
func Rounds(n int) ([]byte, error) {
	var ways [][2]string
	places := points()
	for call := 1; call <= mostCalls; call++ {
		places = append(places, fmt.Sprintf(beforeCall, call), fmt.Sprintf(afterCall, call))
	}
	for _, place := range places {
		ways = append(ways, [2]string{byAlert, place}, [2]string{byHand, place})
	}
	type one struct {
		ID    string  `json:"id"`
		Kind  string  `json:"kind"`
		Title string  `json:"title"`
		Steps [][]any `json:"steps"`
	}
	var cases []one
	for i := range n {
		if i%perCase == 0 {
			cases = append(cases, one{fmt.Sprintf("rounds-%d", i+1), "N", fmt.Sprintf("Rounds from %d on: cut off, it is one step, told once, and answered for", i+1), [][]any{{"instances", 2}}})
		}
		way, last := ways[i%len(ways)], &cases[len(cases)-1]
		last.Steps = append(last.Steps, []any{"round", fmt.Sprintf("r%d", i+1), way[0], way[1]})
	}
	return json.Marshal(map[string]any{"about": "Rounds in which a scaler is ended while it scales.", "cases": cases})
}

func points() []string {
	return []string{string(scaler.BeforeClaim), string(scaler.AfterClaim), string(scaler.AfterUpdate), string(scaler.BeforeTold)}
}

// The calls at which a scaler may be ended: one that does not get through, or one whose
// answer is lost. They count what all scalers send to Docker and to the bus from then on.
const (
	beforeCall = "call %d"
	afterCall  = "answer %d"
)

// cut is a call at which a scaler ends.
type cut struct {
	left  int
	after bool
}

// readPoint reads where a scaler is to end.
func readPoint(text string) (scaler.Point, *cut, error) {
	for _, form := range []string{beforeCall, afterCall} {
		var n int
		if _, err := fmt.Sscanf(text, form, &n); err == nil && n > 0 && text == fmt.Sprintf(form, n) {
			return "", &cut{n, form == afterCall}, nil
		}
	}
	return scaler.Point(text), nil, among("point", text, points()...)
}

// calling is asked before each call of a scaler, and says when it is to end, if it is.
func (w *world) calling(i *instance) (before, after bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut == nil || w.cut.left == 0 || i.gone.Err() != nil {
		return false, false
	}
	w.cut.left--
	return w.cut.left == 0 && !w.cut.after, w.cut.left == 0 && w.cut.after
}

func readRound(values []json.RawMessage) (acceptance.Step, error) {
	var name, by, point string
	err := acceptance.Fill(values, &name, &by, &point)
	_, _, errPoint := readPoint(point)
	return step(name+" by "+by+" at "+point, func(ctx context.Context, w *world) error { return w.round(ctx, name, by, point) }),
		errors.Join(err, errPoint, among("asked by", by, byAlert, byHand))
}

// round asks for a step from 1 to 2 and ends a scaler on the way. It is one step, told once,
// and whoever asked is answered what is true.
func (w *world) round(ctx context.Context, name, by, point string) error {
	if err := w.swarm.create(name, serviceOptions{Labels: map[string]string{"scaleMax": "9"}, Replicas: 1}); err != nil {
		return err
	}
	if err := errors.Join(w.keepSaying(ctx), w.rest(ctx)); err != nil {
		return err
	}
	if err := w.endAt(point); err != nil {
		return err
	}
	if by == byAlert {
		if err := w.fireTwice(ctx, name); err != nil {
			return err
		}
	} else if err := w.firstAnswer(ctx, name); err != nil {
		return err
	}
	if err := w.advance(ctx, concluded); err != nil {
		return err
	}
	if w.armed() {
		return errors.New("no scaler was ended")
	}
	if by == byHand {
		status, body, err := w.asks(ctx, name)
		if err != nil {
			return err
		}
		if err := isOneStep(status, body); err != nil {
			return fmt.Errorf("asked once more: %w", err)
		}
		if err := w.rest(ctx); err != nil {
			return err
		}
	}
	if err := w.wasOneStep(ctx, name); err != nil {
		return err
	}
	if by == byAlert {
		f := w.alerts[alertKey(name, "up", "")]
		return w.deliver(ctx, f, "resolved")
	}
	return nil
}

// fireTwice delivers an alert, and once more as Alertmanager does when it gets no answer.
func (w *world) fireTwice(ctx context.Context, name string) error {
	if err := w.fire(ctx, name, "up", fireOptions{Once: true}); err != nil {
		return err
	}
	if err := w.rest(ctx); err != nil {
		return err
	}
	return w.deliver(ctx, w.alerts[alertKey(name, "up", "")], "firing")
}

// asks asks by hand for one step up, always with the same id.
func (w *world) asks(ctx context.Context, name string) (status int, body []byte, err error) {
	q := url.Values{"service": {name}, "scale": {"up"}, "id": {"of-" + name}}
	return w.ask(ctx, http.MethodPost, "/v1/scale-service?"+q.Encode(), nil, nil)
}

// firstAnswer asks, and compares the answer, if there is one, with what is so.
func (w *world) firstAnswer(ctx context.Context, name string) error {
	asked, err := w.first()
	if err != nil {
		return err
	}
	status, body, err := w.asks(ctx, name)
	if err != nil {
		return nil // whoever was asked has ended
	}
	if err := w.rest(ctx); err != nil {
		return err
	}
	changes, err := w.swarm.changesOf(name)
	if err != nil {
		return err
	}
	if status == http.StatusOK {
		return errors.Join(isOneStep(status, body), isChanges(changes, 2))
	}
	if asked.gone.Err() != nil && status >= http.StatusInternalServerError {
		return nil // it says that it does not know
	}
	if err := isChanges(changes); err != nil {
		return fmt.Errorf("the answer is %d %s, and %w", status, body, err)
	}
	return nil
}

// isOneStep compares an answer with that to a step from 1 to 2.
func isOneStep(status int, body []byte) error {
	from, to := uint64(1), uint64(2)
	return handAnswer{Status: float64(http.StatusOK), Code: "scaled", From: &from, To: &to}.compare(status, body, 0)
}

func isChanges(got []uint64, want ...uint64) error {
	if !slices.Equal(got, want) {
		return fmt.Errorf("the scaler wrote %v, want %v", got, want)
	}
	return nil
}

func (s *swarm) changesOf(name string) ([]uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if svc := s.services[name]; svc != nil {
		return slices.Clone(svc.changes), nil
	}
	return nil, fmt.Errorf("there is no service %s", name)
}

// wasOneStep compares numbers, decisions and what people were told.
func (w *world) wasOneStep(ctx context.Context, name string) error {
	changes, err := w.swarm.changesOf(name)
	if err != nil {
		return err
	}
	all, text, err := w.decisions(ctx, name)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(d decided) bool { return d.Code != "scaled" && d.Code != "adopted" && d.Code != "restored" })
	from, to := uint64(1), uint64(2)
	if len(all) != 1 || all[0].Code != "scaled" || !isNumber(&from, all[0].From) || !isNumber(&to, all[0].To) {
		err = fmt.Errorf("want one step among these decisions%s", text)
	}
	if n := w.told.matching(toldOptions{Service: name, Summary: "from 1 to 2"}); n != 1 {
		err = errors.Join(err, fmt.Errorf("people were told %d times: %s", n, w.told.all(name)))
	}
	return errors.Join(err, isChanges(changes, 2))
}
