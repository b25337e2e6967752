// Package monitorcase is the form of the monitor's black-box cases, and of those of the
// listener's metrics about the swarm: a swarm goes in, and what Prometheus shows, or the
// listener exposes, is compared.
//
// The process of a case is the swarm and starts the component as its container would,
// beside a bus that it can stop, and empty. Waggle's own jobs and alerts are off.
//
// # Cases
//
// Beside what all cases have, a case has subject (monitor or listener), spec (what it rests
// upon), env (settings by their variables), secrets (files in the folder of secrets) and
// files; "@dir" in any text is the folder of these. Unless a variable of env begins with
// GLOBAL or is BASE_FILE, the intervals of scrapes and evaluations, and the timeout, are 1 s.
//
// # Steps
//
// A step that changes the swarm publishes it and goes on:
//
//	["service", {...}]         it is there, or is so now; see Service
//	["remove", name]
//	["node", {...}]            see Node
//	["burst", service, n, ms]  so often and so far apart; %d in its texts is 1 to n
//	["config", {...}]          the component ends, env, secrets and files are changed (null
//	                           takes one away), and it starts again; fresh: on an empty disk
//	["start_fails", {...}, [texts]]   with these changes it ends by itself, with an error
//	["bus", word]              down, up with its content, or empty until the swarm changes
//	["exporter", address, {type, body, samples, path, authorization}]   serves metrics there
//	["docker", word]           no_leader or ok, for the listener
//	["mark"], ["sleep", seconds]      reloads are counted from now on; wait
//
// A step that judges is tried until it holds, once the component has taken up the newest
// catalog:
//
//	["targets", name, [{address, path, interval, timeout, labels, lacks, health, error}]]
//	["rule", {alert, expr, for, labels, lacks, annotations, health}], ["no_rule", name], ["alerts", [names]]
//	["fires", {alert, series, at, want, labels, count}]   by promtool, over the rules in force
//	["query", expression, [{labels, value}]]
//	["status", service, {state, label, reason, warns}]
//	["config_has", {...}]      within the configuration that Prometheus shows
//	["reloads_at_most", n], ["log", [texts]]
//	["get", {from, path, status, type, json, has, lacks, valid}]
//	["http", {m, path, query, token, status, json, has}]   the interface of Docker Flow Monitor
//	["state", [[metric, labels, value]]]                   the listener's metrics
package monitorcase
