package render

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

//go:embed apr1.lua
var apr1Script string

// Passwords that are hashes are slow to check on purpose. One that was right is therefore
// remembered, in the table knownTable, by a digest of what the client sent and of the whole
// list of users, while somebody uses it. Of those that are not known, mostTries in a second
// are looked at for each list, counted in triesTable: that bounds what guessing costs the
// others.
const (
	knownTable = "waggle_known"
	triesTable = "waggle_tries"
	mostTries  = 10
)

// userLists are all lists of users.
type userLists struct {
	sections []*file.Section
	faults   []string
	// slow are those with hashes.
	slow []slowList
}

// slowList is a list of users some of whose passwords are hashes.
type slowList struct {
	name string
	// version is another one if the users change.
	version string
	// apr1 are the users whose hashes HAProxy does not know.
	apr1 []route.User
}

// userListsOf are those of all services. What is wrong with them is told beside them.
func userListsOf(s Settings, secrets map[string]string, users []route.Users) userLists {
	var out userLists
	for _, u := range users {
		out.add(s, secrets, u)
	}
	return out
}

// add adds a list of users, which may be empty: then nobody gets in.
func (l *userLists) add(s Settings, secrets map[string]string, u route.Users) {
	secret, there := secrets[u.Secret]
	list, faults := u.Resolve(secret, there, s.Separator, s.Users)
	slow := slowList{name: u.List}
	var lines []file.Line
	all := sha256.New()
	for _, user := range list {
		_, _ = fmt.Fprintf(all, "%q %q %t\n", user.Name, user.Password, user.Encrypted)
		if user.APR1() {
			slow.apr1 = append(slow.apr1, user)
			continue
		}
		kind := "insecure-password"
		if user.Encrypted {
			kind = "password"
		}
		lines = append(lines, file.New(file.W("user"), file.Q(user.Name), file.W(kind), file.Q(user.Password)))
	}
	for _, f := range faults {
		l.faults = append(l.faults, u.List+": "+f)
	}
	if s.hashes(u) {
		slow.version = hex.EncodeToString(all.Sum(nil)[:8])
		l.slow = append(l.slow, slow)
	}
	l.sections = append(l.sections, file.NewSection(s.Dir, "userlist", u.List, "", lines...))
}

// hashes reports whether passwords of a list may be hashes.
func (s Settings) hashes(u route.Users) bool {
	return u.Encrypted || u.TakesOperators() && slices.ContainsFunc(s.Users, func(o route.User) bool { return o.Encrypted })
}

// versionOf is the variable that holds the version of a list.
func versionOf(list string) string {
	sum := sha256.Sum256([]byte(list))
	return "proc.users_" + hex.EncodeToString(sum[:12])
}

// versions are the lines of the global section that say which users there are.
func (l userLists) versions() []file.Line {
	var out []file.Line
	for _, slow := range l.slow {
		out = append(out, lineOf("set-var", versionOf(slow.name), "str("+slow.version+")"))
	}
	return out
}

// rememberedSize is how many right passwords of one list are remembered at a time. It must
// not be a multiple of 1024, like the sizes of other tables.
const rememberedSize = 2_000

// tables are those that all slow lists share. What is known goes on to a new worker, as its
// users do.
func (l userLists) tables(s Settings) []*file.Section {
	if len(l.slow) == 0 {
		return nil
	}
	return []*file.Section{
		file.NewSection(s.Dir, file.KindBackend, knownTable, file.Defaults,
			lineOf("stick-table", "type", "binary", "len", "32", "size", strconv.Itoa(rememberedSize), "expire", "5m", "peers", peersName)),
		file.NewSection(s.Dir, file.KindBackend, triesTable, file.Defaults,
			lineOf("stick-table", "type", "string", "len", "256", "size", "10000", "expire", "10s", "store", "http_req_rate(1s)")),
	}
}

// script is what checks the hashes that HAProxy does not know, with these; empty if no list
// may have any.
func (l userLists) script() string {
	if len(l.slow) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("local users = {\n")
	for _, slow := range l.slow {
		b.WriteString("  [" + luaText(slow.name) + "] = {")
		for _, u := range slow.apr1 {
			b.WriteString("[" + luaText(u.Name) + "] = " + luaText(u.Password) + ", ")
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n\n" + apr1Script)
	return b.String()
}

// luaText writes a text as Lua reads it, whatever is in it.
func luaText(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, "\\x%02x", c)
	}
	b.WriteByte('"')
	return b.String()
}

// signIn asks for name and password, and tells the task the name if it wants to know.
func (r *rules) signIn(s Settings, a route.Access) {
	if a.UserHeader != "" {
		r.delAlike(a.UserHeader)
	}
	u := a.Users
	if u == nil {
		return
	}
	right := []file.Test{file.Is(file.OfRequest("http_auth(" + u.List + ")"))}
	slow := s.hashes(*u)
	if slow {
		known := file.Is(file.Variable("sign_in").Through("in_table(" + knownTable + ")"))
		r.set("sign_in", "req.fhdr(authorization),concat(|,"+versionOf(u.List)+",|"+u.List+"),sha2(256)",
			file.If(file.Found(file.OfRequest("req.fhdr(authorization)"))))
		r.track(2, "str("+u.List+")", triesTable, file.If(found("sign_in"), file.Not(known)))
		r.deny(429, file.If(found("sign_in"), file.Not(known), file.Is(file.Always("sc_http_req_rate(2)"), bare("gt", strconv.Itoa(mostTries))...)))
		right = append([]file.Test{known}, append(right, file.Is(file.OfRequest("lua.waggle_apr1("+u.List+")"), bare("-m", "bool")...))...)
	}
	ask := models.HTTPRequestRule{Type: "auth", AuthRealm: file.Q(u.Realm).String()}
	if slow {
		r.onRequest(ask, file.UnlessAny(right...))
		r.track(1, "var(txn.sign_in)", knownTable, always)
	} else {
		r.onRequest(ask, file.Unless(right...))
	}
	if a.UserHeader != "" {
		r.onRequest(models.HTTPRequestRule{Type: "set-header", HdrName: a.UserHeader, HdrFormat: "%[http_auth_user]"}, always)
	}
	r.del("authorization", always)
}

// track counts a request in a table.
func (r *rules) track(counter int64, key, table string, when file.When) {
	r.onRequest(models.HTTPRequestRule{Type: "track-sc", TrackScStickCounter: pointer(counter), TrackScKey: key, TrackScTable: table}, when)
}
