package attack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// scaling has others ask for more replicas of a service than it asks for itself.
func (w *world) scaling(ctx context.Context) error {
	const victim = "shop_scaled"
	err := w.Create(ctx, stack.Demo{Name: victim, Replicas: 1, Unchecked: true, Labels: of("shop", stack.Labels("/scaled", "scaleMin", "1", "scaleMax", "3"))})
	if err != nil {
		return err
	}
	err = w.under(ctx, func(ctx context.Context) error {
		if _, err := w.Running(ctx, victim, 1); err != nil {
			return err
		}
		if err := w.refused(ctx, crook{
			what: "an alert for a service of another stack", component: "monitor", says: []string{"com.df.alertLabels"},
			labels: stack.Labels("/thief", "alertName", "x", "alertIf", "vector(1) > 0", "alertLabels", "scale=up,type=service,service="+victim),
		}); err != nil {
			return err
		}
		return errors.Join(w.alertByHand(ctx, victim), w.scaleByProxy(ctx, victim), w.stays(ctx, victim))
	})
	return errors.Join(err, w.Remove(context.WithoutCancel(ctx), victim))
}

// alertByHand posts an alert to Alertmanager, as whoever has come to its network can.
func (w *world) alertByHand(ctx context.Context, victim string) error {
	node, err := w.Home(ctx, "waggle_alertmanager")
	if err != nil {
		return err
	}
	dial, err := w.Within(ctx, node, "waggle_alertmanager")
	if err != nil {
		return err
	}
	alert := fmt.Sprintf(`[{"labels":{"alertname":"a","scale":"up","type":"service","service":%q}}]`, victim)
	a, err := tooltest.Ask(ctx, tooltest.Request{
		Method: http.MethodPost, URL: "http://127.0.0.1:9093/api/v2/alerts", Body: []byte(alert), Header: []string{"Content-Type", "application/json"},
		Client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}},
	})
	if err != nil {
		return err
	}
	w.Say("an alert posted to Alertmanager without a password is answered %d", a.Status)
	if a.Status != http.StatusUnauthorized {
		w.Fault("an alert posted to Alertmanager without a password is answered %d, want 401", a.Status)
	}
	return nil
}

// scaleByProxy asks the scaler with what the proxy's container holds.
func (w *world) scaleByProxy(ctx context.Context, victim string) error {
	answer, err := w.AskScaler(ctx, victim, "up", w.Token("proxy"))
	if err == nil || !strings.Contains(err.Error(), "403") {
		w.Fault("with the proxy's token the scaler answers %q (%v), want 403", answer, err)
		return nil
	}
	w.Say("with the proxy's token the scaler answers 403")
	return nil
}

// stays is a fault if the service is scaled within the time in which an alert scales.
func (w *world) stays(ctx context.Context, victim string) error {
	for began := time.Now(); time.Since(began) < told; {
		tasks, err := w.Tasks(ctx, victim)
		if err != nil {
			return err
		}
		if len(tasks) != 1 {
			w.Fault("%s has %d tasks", victim, len(tasks))
			return nil
		}
		if err := tooltest.Pause(ctx, time.Second); err != nil {
			return err
		}
	}
	w.Say("%s still has one task after %s", victim, told)
	return nil
}
