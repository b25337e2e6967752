// Package scalercase is the form of the scaler's black-box cases: a swarm with labels, alerts,
// metrics, persons and troubles go in, and the numbers that the scaler writes, and what it
// tells, are compared. The process of a case is everything but the scaler's own code: a
// recorded swarm behind the Docker API, the bus, the catalog, Alertmanager, Prometheus,
// and the clock, which stands unless the case moves it.
//
// # Cases
//
// Beside what all cases have, a case has env, settings of the scaler by their variables;
// secrets, of which token is the scaler's; and clock, the time at which it begins.
// A time is seconds, or like 1m30s; the name s#30 is s1 to s30, each.
//
// # Steps
//
// What there is:
//
//	["service", name, {labels, replicas, image, mode, failure, start}]   has run for an hour
//	["tasks", name, {running, failing, pending, start, nodes}]           are these from now on
//	["deploy", name, {replicas, image, labels, failure, silent}]         in one update
//	["update", name, state]                                              Swarm's word
//	["person", name, n]                                                  docker service scale
//	["docker", {fail | hang | conflict, service, replicas | ok}]
//	["peer", "bus" | "alertmanager" | "prometheus", "ok" | "away" | "hangs"]
//	["metric", name, value]
//	["proxy", name, {open, wake}], ["proxy", null, {silent}]
//	["stop", reason], ["stop", null]
//	["away"], ["back"], ["restart"], ["instances", n], ["kill_at", point]
//	["advance", time], ["mark"]
//	["round", name, "alert" | "hand", point]                             see Rounds
//
// What is asked:
//
//	["fire", name, direction, {by, settle, alertname, startsAt, once}]   now and every 60 s
//	["resolve", name, direction, {alertname}], ["again", ...]
//	["webhook", {path, method, headers, body, pad}, {status, body}]
//	["hand", {service, scale, by, to, force, id, times}, {status, code, want, from, to, message, within}]
//
// What is compared:
//
//	["replicas", name, n], ["changes", name, [n, ...]]
//	["spec", name, {image, replicas}], ["spread", name, {node: n}]
//	["decision", name, {code, want, from, to, reason}], ["no_decision", name, code]
//	["status", name, {state, label, reason, hint}]
//	["told", {service, status, summary, times}], ["not_told", {...}]
//	["docker_calls_at_most", n], ["queries_at_most", n]
//	["simulate", {...}, {most, least, end, by, changes_at_most}], ["keep", stack, text, text]
//
// # Rest
//
// After each step the scaler comes to rest: it has seen the bus, the catalog and the clock
// as they are, no timer that has fired is still worked for, each poke was followed by a
// pass, and nothing waits to be sent. While a call hangs, it rests when nothing has moved
// for a moment. The clock goes from one timer to the next, so that hours cost nothing.
package scalercase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
)

// Form is the form of the cases.
func Form() acceptance.Form {
	return acceptance.Form{Name: "scaler", Builds: []string{"scaler"}, Read: read, Steps: map[string]acceptance.Reader{
		"service": readService, "tasks": readTasks, "deploy": readDeploy, "update": readUpdate, "person": readPerson,
		"docker": readDocker, "peer": readPeer, "metric": readMetric, "proxy": readProxy, "stop": readStop,
		"away": readAway, "back": readBack, "restart": readRestart, "instances": readInstances, "kill_at": readKillAt, "round": readRound,
		"advance": readAdvance, "mark": readMark,
		"fire": readFire, "resolve": readResolve, "again": readAgain, "webhook": readWebhook, "hand": readHand,
		"replicas": readReplicas, "changes": readChanges, "spec": readSpec, "spread": readSpread,
		"decision": readDecision, "no_decision": readNoDecision, "status": readStatus, "told": readTold, "not_told": readNotTold,
		"docker_calls_at_most": readCalls, "queries_at_most": readQueries, "simulate": readSimulate, "keep": readKeep,
	}}
}

// step makes a step of what it does, after which the scaler comes to rest.
func step(about string, do func(context.Context, *world) error) acceptance.Step {
	return acceptance.Step{About: about, Do: func(ctx context.Context, in acceptance.World) error {
		w, ok := in.(*world)
		if !ok {
			return errors.New("it is not in a case of the scaler")
		}
		if err := do(ctx, w); err != nil {
			return err
		}
		return w.rest(ctx)
	}}
}

// each makes a step on each of the services that a name means.
func each(name string, do func(context.Context, *world, string) error) (acceptance.Step, error) {
	names, err := expand(name)
	return step(name, func(ctx context.Context, w *world) error {
		for _, one := range names {
			if err := do(ctx, w, one); err != nil {
				if len(names) > 1 {
					return fmt.Errorf("%s: %w", one, err)
				}
				return err
			}
		}
		return nil
	}), err
}

// fill is acceptance.Fill where the last values may be left out.
func fill(values []json.RawMessage, targets ...any) error {
	if len(values) > len(targets) || len(values) == 0 {
		return fmt.Errorf("it has %d values, want 1 to %d", len(values), len(targets))
	}
	return acceptance.Fill(values, targets[:len(values)]...)
}

// orNull decodes a text that may be null.
func orNull(value json.RawMessage) (*string, error) {
	if string(value) == "null" {
		return nil, nil
	}
	var text string
	err := acceptance.Strict(value, &text)
	return &text, err
}
