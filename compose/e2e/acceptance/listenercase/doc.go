// Package listenercase is the form of the listener's black-box cases at its edge: a swarm
// goes in, and what HTTP receivers are told, and what the listener answers, is compared.
//
// The process of a case is the Docker API of package swarmcase, and three receivers that
// record what they are asked. The listener runs as its container would, with its own bus.
//
// # Cases
//
// Beside what all cases have, a case has refs (what it rests upon), env (variables; null is not
// set), secrets (files in the folder of secrets) and initial (steps of the swarm, done before
// anything starts). {a}, {b} and {c} in variables and secrets are the receivers, {docker} the API.
//
// # Steps
//
// Those of swarmcase, and:
//
//	["receiver", r, {down, slow, answers, only}]      how it answers from now on
//	["notified", r, want], ["not_notified", r, want]  a request fits; it and earlier ones about its name are taken
//	["count", r, want, n], ["forget", r]              how many fit since the last forget
//	["last", r, name, want], ["believes", r, {name: query}]
//	["get", path, {status, status_not, json}], ["metric", name, {labels}, [least, most]]
//	["catalog", key, fields], ["log_has", text], ["log_lacks", text]
//	["stop"], ["kill"], ["start", {env, lost}], ["restart"], ["no_start", [texts]], ["sleep", seconds]
//
// A want is {path, method, query, exact, within, for}.
package listenercase
