package controller

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
)

// isolate finds the services for which HAProxy refuses the whole configuration, by
// bisection among those that were not yet part of one that it took, and refuses
// them by name, so that the rest can go live. It reports whether it found any.
func (c *Controller) isolate(ctx context.Context, cause *apply.CheckError) (found bool, err error) {
	var suspects []catalog.Service
	for _, v := range c.desired.Verdicts {
		if v.Err == nil && !maps.Equal(c.proven[v.Service.ID], v.Service.Labels) {
			suspects = append(suspects, v.Service)
		}
	}
	if len(suspects) == 0 {
		return false, nil
	}
	for _, svc := range suspects {
		c.settler.Refuse(svc, Words(cause))
	}
	if refused, err := c.refuses(ctx); err != nil || refused != nil {
		// It is not the services' fault, or not theirs alone.
		for _, svc := range suspects {
			c.settler.Admit(svc.ID)
		}
		return false, err
	}
	if err := c.admit(ctx, suspects, &found); err != nil {
		for _, svc := range suspects {
			c.settler.Admit(svc.ID)
		}
		return false, err
	}
	return found, nil
}

// admit takes back the refusal of all services of a list with which HAProxy takes
// the configuration.
func (c *Controller) admit(ctx context.Context, list []catalog.Service, found *bool) error {
	for _, svc := range list {
		c.settler.Admit(svc.ID)
	}
	refused, err := c.refuses(ctx)
	if err != nil || refused == nil {
		return err
	}
	for _, svc := range list {
		c.settler.Refuse(svc, Words(refused))
	}
	if len(list) == 1 {
		*found = true
		c.o.Log.Warn("a service is left out, because HAProxy refuses what its labels make", "swarm_service", list[0].Name, "error", Words(refused))
		return nil
	}
	half := len(list) / 2
	if err := c.admit(ctx, list[:half], found); err != nil {
		return err
	}
	return c.admit(ctx, list[half:], found)
}

// refuses returns why HAProxy refuses what would be in force now, nil if it does not.
func (c *Controller) refuses(ctx context.Context) (*apply.CheckError, error) {
	c.desired, c.snapshot = c.settleWith(c.input)
	c.readUsers()
	file, err := c.renderer.Render(c.desired.Services, c.desired.Tables, c.addresses)
	if err != nil {
		return nil, err
	}
	err = c.o.HAProxy.Check(ctx, file)
	var refused *apply.CheckError
	if errors.As(err, &refused) {
		return refused, nil
	}
	return nil, err
}

// prove remembers the labels that are part of a configuration that HAProxy took.
func (c *Controller) prove() {
	proven := make(map[string]map[string]string, len(c.desired.Accepted))
	for id, svc := range c.desired.Accepted {
		proven[id] = svc.Labels
	}
	c.proven = proven
}

// Words are those of HAProxy's lines that say what is wrong.
func Words(e *apply.CheckError) string {
	var out []string
	for line := range strings.Lines(e.Output) {
		_, place, ok := strings.Cut(line, "parsing [")
		_, text, ok2 := strings.Cut(place, "]")
		if text = strings.Trim(text, " :\r\n"); ok && ok2 && text != "" {
			out = append(out, text)
		}
	}
	if len(out) == 0 {
		return shorten(strings.TrimSpace(e.Output))
	}
	return shorten(strings.Join(out, "; "))
}
