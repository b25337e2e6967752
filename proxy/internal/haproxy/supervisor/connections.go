package supervisor

import (
	"fmt"

	"github.com/prometheus/procfs"
)

// The states of a connection in /proc/net/tcp, whose columns proc(5) describes.
const (
	established = 0x01
	closeWait   = 0x08
	listening   = 0x0A
)

// sockets returns the TCP sockets of our network. What cannot be read counts as none.
func sockets() procfs.NetTCP {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return nil
	}
	four, _ := proc.NetTCP() //nolint:staticcheck // netlink would be one more library, to learn the same
	six, _ := proc.NetTCP6() //nolint:staticcheck // as above
	return append(four, six...)
}

// listensOn returns the ports on which the processes of a group listen.
func listensOn(group int) map[uint64]bool {
	owned := map[string]bool{}
	all, _ := procfs.AllProcs() // what cannot be read counts as none
	for _, p := range all {
		if stat, err := p.Stat(); err != nil || stat.PGRP != group {
			continue
		}
		targets, _ := p.FileDescriptorTargets() // of one that has ended
		for _, to := range targets {
			owned[to] = true
		}
	}
	out := map[uint64]bool{}
	for _, s := range sockets() {
		if s.St == listening && owned[fmt.Sprintf("socket:[%d]", s.Inode)] {
			out[s.LocalPort] = true
		}
	}
	return out
}

// connected counts the clients that are still connected to any of the ports.
func connected(ports map[uint64]bool) int {
	n := 0
	for _, s := range sockets() {
		if ports[s.LocalPort] && (s.St == established || s.St == closeWait) {
			n++
		}
	}
	return n
}
