package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// sleeper is a service that may have no task at all.
const sleeper = "demo-sleeper"

// sleepy are its labels: a target by the proxy's own numbers, and nothing to do is no replica.
func sleepy() []string {
	return []string{
		"com.df.notify=true",
		"com.df.servicePath=/sleeper",
		"com.df.port=8080",
		"com.df.scaleMin=0",
		"com.df.scaleMax=3",
		"com.df.scaleMetric=@concurrency",
		"com.df.scaleTarget=2",
		"com.df.scaleStabilizeDown=2s",
		"com.df.scaleCooldownDown=2s",
	}
}

// laid is the step of a service that may sleep, and that nobody asks for from now on. It takes
// half a minute to go to sleep, in which the story goes on.
func (s *story) laid(ctx context.Context) error {
	if err := s.create(ctx, sleeper, sleepy()); err != nil {
		return err
	}
	if err := s.answered(ctx, "/sleeper/hello"); err != nil {
		return err
	}
	s.say("it is answered; from now on nobody asks for it")
	return nil
}

// woken is the step in which it sleeps, and is woken by the next request, which waits for it.
func (s *story) woken(ctx context.Context) error {
	if err := tooltest.PollFor(ctx, time.Minute, 100*time.Millisecond, "the service to go to sleep", func(ctx context.Context) error {
		found, err := s.statuses(ctx, sleeper)
		if err != nil {
			return err
		}
		running, err := docker(ctx, "ps", "--quiet", "--filter", "label=com.docker.swarm.service.name="+sleeper)
		if err != nil {
			return err
		}
		if running != "" {
			return errors.New("it has a task")
		}
		for _, st := range found {
			if st["component"] == "proxy" && st["state"] == "applied" {
				s.say("no task is left: %v", st["reason"])
				return nil
			}
		}
		return fmt.Errorf("what is said of it: %v", found)
	}); err != nil {
		return err
	}
	began := time.Now()
	status, err := tooltest.Status(ctx, s.route("/sleeper/hello", 0).URL)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the first request was answered %d", status)
	}
	s.say("the first request woke it, waited for its task, and is answered %d after %d ms", status, time.Since(began).Milliseconds())
	return nil
}
