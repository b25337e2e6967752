package runtime

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// chunk bounds, in bytes, what is sent before its answers are read. HAProxy's buffer is
// 16 kB.
const chunk = 12 << 10

// Command is one runtime command with checked arguments. Its constructors never
// fail; a bad argument is reported when the command is sent.
type Command struct {
	line string
	// payload is sent line by line after the command, ended by a random word.
	payload []string
	// done is part of the confirmation. Without it, success is silent.
	done string
	// data means that the answer is what was asked for.
	data bool
	// wait is how long HAProxy itself may take.
	wait time.Duration
	err  error
}

// String is the command as it is sent, without payload.
func (c Command) String() string { return c.line }

// Entry is one line of a map. Neither part is empty or contains white space.
type Entry struct{ Key, Value string }

// AddServer adds a server in state maint; EnableServer then gives it traffic.
// The options are the words of a server line ("weight", "10"); a check starts
// with EnableHealth.
func AddServer(backend, server string, addr netip.AddrPort, options ...string) Command {
	c := command("add server", servername(backend, server)).confirm("New server registered")
	if !addr.IsValid() || addr.Port() == 0 {
		c.err = argument("address", addr.String(), "an IP address and a port")
	}
	return c.with(literal(addr.String())).with(each("option", options)...)
}

// EnableServer ends the state maint.
func EnableServer(backend, server string) Command {
	return command("enable server", servername(backend, server))
}

// DisableServer puts a server into the state maint: no new requests, running
// ones go on, idle connections are closed.
func DisableServer(backend, server string) Command {
	return command("disable server", servername(backend, server))
}

// EndSessions ends all that goes on with a server: requests without an answer yet, and
// connections that carry something else.
func EndSessions(backend, server string) Command {
	return command("shutdown sessions server", servername(backend, server))
}

// EndStream ends one request or connection, by the number that the list of them gives it.
func EndStream(id string) Command {
	return command("shutdown session", name("session", id))
}

// EnableHealth starts the checks of a server that was added with "check".
func EnableHealth(backend, server string) Command {
	return command("enable health", servername(backend, server))
}

// DeleteServer deletes a server that is in maint and has no connection left, or
// fails with ErrBusy. Client.DelServer is the whole sequence.
func DeleteServer(backend, server string) Command {
	return command("del server", servername(backend, server)).confirm("Server deleted")
}

// AwaitServer waits until a server can be deleted.
func AwaitServer(backend, server string, wait time.Duration) Command {
	return await(wait, "srv-removable", servername(backend, server))
}

// SetWeight sets a server's weight, 0 to 256.
func SetWeight(backend, server string, weight int) Command {
	c := command("set weight", servername(backend, server), literal(strconv.Itoa(weight)))
	if weight < 0 || weight > 256 {
		c.err = argument("weight", strconv.Itoa(weight), "0 to 256")
	}
	return c
}

// SetMaxConn sets how many connections a server gets at a time; 0 is any number.
func SetMaxConn(backend, server string, n int) Command {
	c := command("set maxconn server", servername(backend, server), literal(strconv.Itoa(n)))
	if n < 0 {
		c.err = argument("maxconn", strconv.Itoa(n), "0 or more")
	}
	return c
}

// AddMapEntries appends entries to a map, known by its file name (or virt@ name)
// in the configuration. An entry whose key is there already is added all the
// same, and not seen by look-ups. More than HAProxy takes at once is refused with
// ErrArgument; Chunks divides it.
func AddMapEntries(mapName string, entries ...Entry) Command {
	return addEntries(entries, mapname(mapName))
}

// SetMapEntry changes an entry that is there.
func SetMapEntry(mapName string, entry Entry) Command {
	return command("set map", mapname(mapName), key(entry.Key), word("map value", entry.Value))
}

// DelMapEntry removes every entry with the key.
func DelMapEntry(mapName, entryKey string) Command {
	return command("del map", mapname(mapName), key(entryKey))
}

// AddBackend adds a backend without servers, unpublished, with the settings of a
// named defaults section, which needs a mode. HAProxy 3.4.
func AddBackend(backend, fromDefaults string) Command {
	return command("add backend", name("backend", backend), literal("from"), name("defaults", fromDefaults)).
		confirm("New backend registered")
}

// PublishBackend lets rules that choose a backend at run time find it. HAProxy 3.4.
func PublishBackend(backend string) Command {
	return command("publish backend", name("backend", backend)).confirm("Backend published")
}

// UnpublishBackend is the opposite of PublishBackend. HAProxy 3.4.
func UnpublishBackend(backend string) Command {
	return command("unpublish backend", name("backend", backend)).confirm("Backend unpublished")
}

// DeleteBackend deletes an unpublished backend without servers and streams. HAProxy 3.4.
func DeleteBackend(backend string) Command {
	return command("del backend", name("backend", backend)).confirm("Backend deleted")
}

func await(wait time.Duration, condition string, on part) Command {
	wait = max(wait, time.Millisecond)
	ms := strconv.FormatInt(wait.Milliseconds(), 10) + "ms"
	c := command("wait", literal(ms), literal(condition), on).confirm("Done")
	c.wait = wait
	return c
}

func addEntries(entries []Entry, target ...part) Command {
	c := command("add map", target...)
	for _, e := range entries {
		// Inside a payload only white space has a meaning.
		k, v := word("map key", e.Key), word("map value", e.Value)
		for _, p := range []part{k, v} {
			if p.err != nil && c.err == nil {
				c.err = p.err
			}
		}
		c.payload = append(c.payload, e.Key+" "+e.Value)
	}
	if (len(entries) == 0 || c.size() > chunk) && c.err == nil {
		c.err = argument("map entries", fmt.Sprint(len(entries)), fmt.Sprintf("at least one, and at most %d bytes in all", chunk))
	}
	return c
}

// Chunks divides entries into parts that fit into one AddMapEntries each, unless a
// single entry does not.
func Chunks(entries []Entry) [][]Entry {
	var parts [][]Entry
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && (n == 0 || size+len(entries[n].Key)+len(entries[n].Value)+2 <= chunk/2) {
			size += len(entries[n].Key) + len(entries[n].Value) + 2
			n++
		}
		parts = append(parts, entries[:n:n])
		entries = entries[n:]
	}
	return parts
}

// show is a command whose answer is the data.
func show(line string, parts ...part) Command {
	c := command(line, parts...)
	c.data = true
	return c
}

// part is one argument as it goes on the line, or why it does not.
type part struct {
	text string
	err  error
}

func command(line string, parts ...part) Command { return Command{line: line}.with(parts...) }

func (c Command) with(parts ...part) Command {
	for _, p := range parts {
		if p.err != nil && c.err == nil {
			c.err = p.err
		}
		c.line += " " + p.text
	}
	return c
}

func (c Command) confirm(done string) Command {
	c.done = done
	return c
}

func argument(kind, text, want string) error {
	return fmt.Errorf("%w: %s %q: want %s", ErrArgument, kind, text, want)
}

// names are what HAProxy accepts as the name of a section or server.
var names = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

func name(kind, text string) part {
	if !names.MatchString(text) {
		return part{text: strconv.Quote(text), err: argument(kind, text, "letters, digits, and _ . : -")}
	}
	return part{text: text}
}

func servername(backend, server string) part {
	b, s := name("backend", backend), name("server", server)
	if b.err == nil {
		b.err = s.err
	}
	return part{text: b.text + "/" + s.text, err: b.err}
}

// word is an argument without white space and control characters. What has a
// meaning on the line is escaped; "<<" would begin a payload.
func word(kind, text string) part {
	bad := text == "" || strings.Contains(text, "<<")
	for _, b := range []byte(text) {
		bad = bad || b <= ' ' || b == 0x7f
	}
	if bad {
		return part{text: strconv.Quote(text), err: argument(kind, text, "text without white space, control characters and <<")}
	}
	if !strings.ContainsAny(text, `\;`) {
		return part{text: text} // most are so
	}
	return part{text: strings.NewReplacer(`\`, `\\`, `;`, `\;`).Replace(text)}
}

// key and mapname refuse what HAProxy would read as a number of its own.
func key(text string) part {
	if strings.HasPrefix(text, "#") {
		return part{text: strconv.Quote(text), err: argument("map key", text, "a key that does not begin with #")}
	}
	return word("map key", text)
}

func mapname(text string) part {
	if strings.HasPrefix(text, "#") || strings.HasPrefix(text, "@") {
		return part{text: strconv.Quote(text), err: argument("map", text, "a file name")}
	}
	return word("map", text)
}

func literal(text string) part { return part{text: text} }

func each(kind string, texts []string) []part {
	parts := make([]part, len(texts))
	for i, t := range texts {
		parts[i] = word(kind, t)
	}
	return parts
}

// size is how many bytes write will add at most.
func (c Command) size() int {
	n := len(c.line) + 32
	for _, l := range c.payload {
		n += len(l) + 1
	}
	return n
}

func (c Command) write(out *strings.Builder) {
	out.WriteString(c.line)
	if len(c.payload) > 0 {
		// HAProxy takes seven characters; nobody outside can guess them.
		end := rand.Text()[:7]
		for slices.Contains(c.payload, end) {
			end = rand.Text()[:7]
		}
		out.WriteString(" <<" + end + "\n" + strings.Join(c.payload, "\n") + "\n" + end)
	}
	out.WriteByte('\n')
}

// severity is the prefix of every message, as opposed to data.
var severity = regexp.MustCompile(`^\[([0-7])\]: `)

// judge tells a confirmation from a refusal.
func (c Command) judge(text string) (string, error) {
	for len(c.payload) > 0 && strings.HasPrefix(text, "+ ") {
		text = text[len("+ "):] // the prompt for more payload
	}
	text = strings.TrimSpace(text)
	level := -1
	if m := severity.FindStringSubmatch(text); m != nil {
		level = int(m[1][0] - '0')
		text = text[len(m[0]):]
	}
	ok := false
	switch {
	case level >= 0 && level <= 3:
	case c.data:
		ok = level < 0
	case c.done != "":
		ok = strings.Contains(text, c.done)
	default:
		// A warning says what changed; "Unknown command" comes as information.
		ok = text == "" || level == 4 || level == 5
	}
	if !ok {
		return "", &Error{Command: c.line, Severity: level, Text: text}
	}
	return text, nil
}
