// Package whycase is the form of the cases of the command waggle: a world is told step by
// step, and the program is asked about it. The listener's answers are made here of the
// world, with statuses by the components' own judges; the program is the real one, and asks
// over HTTP.
package whycase
