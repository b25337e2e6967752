package controller

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// Checker is HAProxy as it judges what does not run.
type Checker interface {
	// Check judges a configuration; the error is a *apply.CheckError if it is refused.
	Check(ctx context.Context, want file.File) error
}

// refuses returns why HAProxy refuses what would be in force now, nil if it does not.
type refuses func(ctx context.Context) (*apply.CheckError, error)

func (c *Controller) refuses(ctx context.Context) (*apply.CheckError, error) {
	file, err := c.render(c.targets.addresses)
	if err != nil {
		return nil, err
	}
	err = c.checker.Check(ctx, file)
	var refused *apply.CheckError
	if errors.As(err, &refused) {
		return refused, nil
	}
	return nil, err
}

// isolate finds the services for which HAProxy refuses the whole configuration, by
// bisection, and refuses them by name, so that the rest can go live: among those that were not
// yet part of one that it took, and if it is none of them among all, for what they are made of
// may have changed, such as a file that has gone, or the first task of a service. It reports
// whether it found any; if it did not, all is settled as it was before.
func (s *settling) isolate(ctx context.Context, cause *apply.CheckError, refused refuses) (found bool, err error) {
	found, err = s.isolateAmong(ctx, s.unproven(func(catalog.Service) bool { return true }), cause, refused)
	if found || err != nil {
		return found, err
	}
	return s.isolateAmong(ctx, s.inForce(), cause, refused)
}

// inForce are all services of which labels are in force, with those.
func (s *settling) inForce() []catalog.Service {
	var out []catalog.Service
	for _, v := range s.desired.Verdicts {
		if accepted, ok := s.desired.Accepted[v.Service.ID]; ok {
			v.Service.Labels = accepted.Labels
			out = append(out, v.Service)
		}
	}
	return out
}

// unproven are the services in force by their present labels that were not yet part of a
// configuration that HAProxy took, as far as they may be suspected.
func (s *settling) unproven(may func(catalog.Service) bool) []catalog.Service {
	var out []catalog.Service
	for _, v := range s.desired.Verdicts {
		if v.Err == nil && !maps.Equal(s.proven[v.Service.ID], v.Service.Labels) && may(v.Service) {
			out = append(out, v.Service)
		}
	}
	return out
}

func (s *settling) isolateAmong(ctx context.Context, suspects []catalog.Service, cause *apply.CheckError, refused refuses) (found bool, err error) {
	if len(suspects) == 0 {
		return false, nil
	}
	s.refuse(suspects, cause)
	without, err := refused(ctx)
	if err == nil && without == nil {
		err = s.search(ctx, suspects, refused, &found)
	}
	if err != nil || without != nil {
		// It could not be found out, or it is not the services' fault, or not theirs alone.
		s.admit(suspects)
		return false, err
	}
	return found, nil
}

func (s *settling) refuse(list []catalog.Service, cause *apply.CheckError) {
	for _, svc := range list {
		s.settler.Refuse(svc, Words(cause))
	}
	s.resettle()
}

func (s *settling) admit(list []catalog.Service) {
	for _, svc := range list {
		s.settler.AdmitAgain(svc)
	}
	s.resettle()
}

// search takes back the refusal of all services of a list with which HAProxy takes
// the configuration.
func (s *settling) search(ctx context.Context, list []catalog.Service, refused refuses, found *bool) error {
	s.admit(list)
	cause, err := refused(ctx)
	if err != nil || cause == nil {
		return err
	}
	s.refuse(list, cause)
	if len(list) == 1 {
		*found = true
		s.log.Warn("a service is left out, because HAProxy refuses what its labels make", "swarm_service", list[0].Name, "error", Words(cause))
		return nil
	}
	half := len(list) / 2
	if err := s.search(ctx, list[:half], refused, found); err != nil {
		return err
	}
	return s.search(ctx, list[half:], refused, found)
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
