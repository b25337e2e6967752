package runtime

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Server is one server as HAProxy runs it.
type Server struct {
	Backend, Name string
	// Addr is not valid while a server's name has no address.
	Addr netip.AddrPort
	// Up means that it gets traffic: running or starting, and not in maint.
	Up bool
	// Maint means that it was disabled, by the file or at run time.
	Maint  bool
	Weight int
}

// ShowServers returns the servers of all backends, in HAProxy's order.
func (c *Client) ShowServers(ctx context.Context) ([]Server, error) {
	text, err := c.one(ctx, show("show servers state"))
	if err != nil {
		return nil, err
	}
	return parseServers(text)
}

func parseServers(text string) ([]Server, error) {
	version, rest, _ := strings.Cut(text, "\n")
	head, rest, _ := strings.Cut(rest, "\n")
	if version != "1" || !strings.HasPrefix(head, "# ") {
		return nil, fmt.Errorf("haproxy: show servers state: unknown format %q", version)
	}
	column := columns(strings.Fields(head[2:]))
	var servers []Server
	for line := range strings.Lines(rest) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != len(column) {
			return nil, fmt.Errorf("haproxy: show servers state: %d columns in %q, want %d", len(f), line, len(column))
		}
		var errs [4]error
		number := func(i int, col string) int {
			n, err := strconv.Atoi(column.of(f, col))
			errs[i] = err
			return n
		}
		op, admin, weight, port := number(0, "srv_op_state"), number(1, "srv_admin_state"), number(2, "srv_uweight"), number(3, "srv_port")
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("haproxy: show servers state: %q: %w", line, err)
		}
		s := Server{
			Backend: column.of(f, "be_name"), Name: column.of(f, "srv_name"), Weight: weight,
			// Bits 0 to 2 are maint: forced, inherited, from the file; 5 is a
			// name without an address.
			Maint: admin&0x07 != 0,
			Up:    op != 0 && admin&0x27 == 0,
		}
		if ip, err := netip.ParseAddr(column.of(f, "srv_addr")); err == nil && port > 0 && port < 1<<16 {
			s.Addr = netip.AddrPortFrom(ip, uint16(port))
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// Stat is one row of HAProxy's statistics.
type Stat struct {
	Proxy, Server string // Server is FRONTEND or BACKEND for the sums
	Status        string // UP, DOWN, MAINT, OPEN, no check, ...
	Sessions      int    // at this moment
	Total         int64  // sessions since the start of the worker
}

// ShowStat returns the statistics of all frontends, backends and servers.
func (c *Client) ShowStat(ctx context.Context) ([]Stat, error) {
	text, err := c.one(ctx, show("show stat"))
	if err != nil {
		return nil, err
	}
	return parseStat(text)
}

// ShowStatCSV returns the statistics as HAProxy writes them, in CSV with a heading.
func (c *Client) ShowStatCSV(ctx context.Context) (string, error) {
	return c.one(ctx, show("show stat"))
}

func parseStat(text string) ([]Stat, error) {
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# "))).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("haproxy: show stat: %w", err)
	}
	if len(rows) == 0 {
		return nil, errors.New("haproxy: show stat: no header")
	}
	column := columns(rows[0])
	for _, want := range []string{"pxname", "svname", "status", "scur", "stot"} {
		if _, ok := column[want]; !ok {
			return nil, fmt.Errorf("haproxy: show stat: no column %s", want)
		}
	}
	stats := make([]Stat, 0, len(rows)-1)
	for _, row := range rows[1:] {
		var bad error
		number := func(col string) int64 {
			text := column.of(row, col)
			if text == "" {
				return 0 // this kind of row has no such number
			}
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil && bad == nil {
				bad = fmt.Errorf("haproxy: show stat: %s: %w", col, err)
			}
			return n
		}
		s := Stat{
			Proxy: column.of(row, "pxname"), Server: column.of(row, "svname"), Status: column.of(row, "status"),
			Sessions: int(number("scur")), Total: number("stot"),
		}
		if bad != nil {
			return nil, bad
		}
		stats = append(stats, s)
	}
	return stats, nil
}

// Info is who answers.
type Info struct {
	Pid     int
	Version string
	MaxConn int // connections at a time, of all frontends together
	CurConn int // how many of these are open
}

// ShowInfo returns the process at the other end of the socket. Its pid is
// another one after every reload.
func (c *Client) ShowInfo(ctx context.Context) (Info, error) {
	text, err := c.one(ctx, show("show info"))
	if err != nil {
		return Info{}, err
	}
	return parseInfo(text)
}

func parseInfo(text string) (Info, error) {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			fields[name] = value
		}
	}
	pid, err1 := strconv.Atoi(fields["Pid"])
	maxConn, err2 := strconv.Atoi(fields["Maxconn"])
	curConn, err3 := strconv.Atoi(fields["CurrConns"])
	if err := errors.Join(err1, err2, err3); err != nil {
		return Info{}, fmt.Errorf("haproxy: show info: %w", err)
	}
	return Info{Pid: pid, Version: fields["Version"], MaxConn: maxConn, CurConn: curConn}, nil
}

// ShowMap returns the entries of a map in the order in which they are kept.
func (c *Client) ShowMap(ctx context.Context, mapName string) ([]Entry, error) {
	text, err := c.one(ctx, show("show map", mapname(mapName)))
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for line := range strings.Lines(text) {
		_, entry, ok := strings.Cut(strings.TrimRight(line, "\n"), " ")
		k, v, ok2 := strings.Cut(entry, " ")
		if !ok || !ok2 {
			return nil, fmt.Errorf("haproxy: show map %s: not an entry: %q", mapName, line)
		}
		entries = append(entries, Entry{Key: k, Value: v})
	}
	return entries, nil
}

type columnIndex map[string]int

func columns(names []string) columnIndex {
	index := columnIndex{}
	for i, n := range names {
		index[n] = i
	}
	return index
}

// of returns the field in the named column, "" if there is none.
func (c columnIndex) of(fields []string, name string) string {
	if i, ok := c[name]; ok && i < len(fields) {
		return fields[i]
	}
	return ""
}
