package render

import (
	"slices"
	"strconv"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
)

// clientsTable is the backend that holds the one table of all ports. It is not taught to the
// next worker at a reload, which does not have the connections that the last one has.
const clientsTable = "waggle_clients"

// mostClients is how many clients the table holds; where there are more, those that were
// seen last.
const mostClients = 100_000

// clientsSection is the table, nil without a limit.
func clientsSection(s Settings) *file.Section {
	c := s.Clients
	if !c.limited() {
		return nil
	}
	store, expire := "conn_cur", "1m"
	if c.Rate != nil {
		per := seconds(c.Rate.Per) + "s"
		store, expire = store+",conn_rate("+per+")", per
	}
	return file.NewSection(s.Dir, file.KindBackend, clientsTable, file.Defaults,
		lineOf("stick-table", "type", "ipv6", "size", strconv.Itoa(mostClients), "expire", expire, "store", store))
}

// clients closes connections of those who have too many. Trusted proxies are not counted,
// through whom many come.
func (r *rules) clients(s Settings) {
	c := s.Clients
	if !c.limited() {
		return
	}
	layer := "connection"
	if slices.ContainsFunc(s.Binds, func(b edge.Bind) bool { return b.AcceptProxy }) {
		layer = "session" // before that, the client is whoever sends the header
	}
	rule := func(when file.When, words ...string) {
		r.add(file.New(append(bare(append([]string{"tcp-request", layer}, words...)...), when.Words()...)...))
	}
	strangers := always
	if len(s.TrustedProxies) > 0 {
		strangers = file.Unless(s.trusted(file.Always("src"))...)
	}
	rule(strangers, "track-sc1", "src,ipmask(32,64)", "table", clientsTable)
	if c.Connections > 0 {
		rule(file.If(file.Is(file.Always("sc_conn_cur(1)"), bare("gt", strconv.Itoa(c.Connections))...)), "reject")
	}
	if c.Rate != nil {
		rule(file.If(file.Is(file.Always("sc_conn_rate(1)"), bare("gt", strconv.Itoa(c.Rate.Requests))...)), "reject")
	}
}
