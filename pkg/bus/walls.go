package bus

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/scaling"
)

// Listener is the component that owns all buckets and streams; the others see of them
// what the table of walls says.
const Listener = "listener"

// Reader is a consumer of the user's own, which need not be there.
const Reader = "reader"

// opening lets a component through the wall to one stream.
type opening struct {
	component string
	// stream is the one of a bucket or another one.
	stream string
	// reads are the subjects whose messages it may read, writes those that it may
	// publish; both as filters.
	reads, writes []string
	// whole says that all messages of the stream may be read.
	whole bool
}

// openings is the one table of who may read and write what. What is not here is the
// listener's alone.
func openings() []opening {
	all := []string{">"}
	var out []opening
	bucket := func(component, name string, reads, writes []string) {
		subjects := func(keys []string) (out []string) {
			for _, key := range keys {
				out = append(out, kvSubject(name, key))
			}
			return out
		}
		out = append(out, opening{component: component, stream: kvStream(name), reads: subjects(reads), writes: subjects(writes)})
	}
	for _, c := range []string{"proxy", "monitor", "scaler"} {
		own := []string{c + ".>"}
		said := []string{c + ".>", InstanceKey(c, "") + ">"}
		bucket(c, CatalogBucket, all, nil)
		bucket(c, AcceptedBucket, own, own)
		bucket(c, ManualBucket, own, own)
		bucket(c, StatusBucket, said, said)
		out = append(out,
			opening{component: c, stream: EventsStream, writes: []string{streamSubject(EventsStream) + c + ".>"}},
			// Of one subject alone the stream keeps a bounded number of messages.
			opening{component: c, stream: AuditStream, writes: []string{streamSubject(AuditStream) + c}},
		)
	}
	// All that the contract tells of buckets, and nothing to write.
	bucket(Reader, CatalogBucket, all, nil)
	bucket(Reader, StatusBucket, all, nil)
	bucket("proxy", SecretsBucket, all, nil)
	bucket("scaler", SignalsBucket, all, all)
	// A proxy wakes services and says which are in use, and asks for nothing else.
	bucket("scaler", WakesBucket, all, nil)
	bucket("proxy", WakesBucket, nil, []string{scaling.WakePrefix + "*", scaling.OpenPrefix + "*"})
	decisions := []string{streamSubject(DecisionsStream) + ">"}
	return append(out, opening{component: "scaler", stream: DecisionsStream, reads: decisions, writes: decisions, whole: true})
}

// passage is a subject of the listener's account that another may ask.
type passage struct {
	subject string
	// many says that one request is answered by any number of messages.
	many bool
}

// passages are what a component asks for in order to use an opening. A reader of a
// part asks with the part in the subject, which is what the server compares.
func (o opening) passages() []passage {
	var out []passage
	if len(o.reads) > 0 {
		out = append(out,
			passage{subject: api + "STREAM.INFO." + o.stream},
			passage{subject: api + "CONSUMER.INFO." + o.stream + ".*"},
			passage{subject: api + "CONSUMER.MSG.NEXT." + o.stream + ".*", many: true},
		)
	}
	if o.whole {
		// By number, from which the subject cannot be told, and many at once.
		out = append(out, passage{subject: api + "DIRECT.GET." + o.stream, many: true})
	}
	for _, subject := range o.reads {
		out = append(out,
			passage{subject: api + "CONSUMER.CREATE." + o.stream + ".*." + subject},
			passage{subject: api + "DIRECT.GET." + o.stream + "." + subject},
		)
	}
	for _, subject := range o.writes {
		out = append(out, passage{subject: subject})
	}
	return out
}

// api is what requests to JetStream begin with; apiBehindWalls is that for whoever has
// no JetStream of its own, since each server of NATS answers to the former itself that
// there is none.
const (
	api            = "$JS.API."
	apiBehindWalls = "WAGGLE.API"
)

// asked is what a component calls a subject of the listener's account.
func asked(subject string) string {
	if rest, ok := strings.CutPrefix(subject, api); ok {
		return apiBehindWalls + "." + rest
	}
	return subject
}

// The names of the accounts.
const (
	systemAccount = "WAGGLE_SYSTEM"
	// Account is where all buckets and streams are.
	Account = "WAGGLE"
)

func accountOf(component string) string { return Account + "_" + strings.ToUpper(component) }

// ServerConfig returns a whole configuration for a nats-server that is to serve
// Waggle. What is to be filled in is commented out. Only public keys are in it.
func ServerConfig(keys map[string]string) (string, error) {
	accounts, err := ServerAccounts(keys)
	if err != nil {
		return "", err
	}
	return serverHead + accounts, nil
}

const serverHead = `# nats-server 2.11 or later, for Waggle. The same on each server, but for server_name.
# New keys, or a new version of Waggle, ask for a new one: print it again.

listen: "0.0.0.0:4222"

jetstream {
  store_dir: "/data"
  max_file_store: 2G
}

# Of three servers, each with a name of its own:
# server_name: nats-1
# cluster {
#   name: waggle
#   listen: "0.0.0.0:6222"
#   routes: ["nats://nats-1:6222", "nats://nats-2:6222", "nats://nats-3:6222"]
# }

# With certificates; Waggle's NATS_URL is then tls://, and NATS_CA says who vouches:
# tls {
#   cert_file: "/tls/server.crt"
#   key_file: "/tls/server.key"
# }

`

// ServerAccounts returns the part of a nats-server's configuration that admits the
// components, each in an account of its own, and opens to each what it may use; keys
// are their settings by name. Only public keys are in it. Without a key of the reader
// there is no account for one.
func ServerAccounts(keys map[string]string) (string, error) {
	users := map[string][]string{}
	for component, setting := range keys {
		public, err := publicKeys(component, setting)
		if err != nil {
			return "", err
		}
		users[component] = public
	}
	exports, imports, writes := map[passage][]string{}, map[string][]string{}, map[string][]string{}
	for _, o := range openings() {
		if o.component == Reader && users[Reader] == nil {
			continue
		}
		writes[o.component] = append(writes[o.component], o.writes...)
		for _, p := range o.passages() {
			exports[p] = append(exports[p], o.component)
			imports[o.component] = append(imports[o.component], p.subject)
		}
	}
	var b strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&b, format+"\n", values...) }
	line("system_account: %s", systemAccount)
	line("accounts {")
	line("  %s {}", systemAccount)
	line("  # All buckets and streams are the listener's; nobody else has a subject here.")
	line("  %s {", Account)
	line("    jetstream: enabled")
	line("    users: [%s]", userList(users[Listener], ""))
	line("    exports: [")
	sorted := slices.SortedFunc(maps.Keys(exports), func(x, y passage) int { return strings.Compare(x.subject, y.subject) })
	for _, p := range sorted {
		many := ""
		if p.many {
			many = ", response_type: stream"
		}
		var to []string
		for _, c := range exports[p] {
			to = append(to, accountOf(c))
		}
		line("      {service: %q%s, accounts: [%s]}", p.subject, many, strings.Join(to, ", "))
	}
	line("    ]")
	line("  }")
	for _, component := range slices.Sorted(maps.Keys(imports)) {
		// Nobody answers to what is not imported, and saying so quickly is worth more
		// than a refusal that the client waits for. No instance speaks to another.
		permissions := fmt.Sprintf(", permissions: {publish: {allow: [%s]}, subscribe: {allow: [%q]}}",
			quoted(append([]string{asked(api + ">")}, writes[component]...)), "_INBOX_"+component+".>")
		line("  %s {", accountOf(component))
		line("    users: [%s]", userList(users[component], permissions))
		line("    imports: [")
		for _, subject := range imports[component] {
			line("      {service: {account: %s, subject: %q}, to: %q}", Account, subject, asked(subject))
		}
		line("    ]")
		line("  }")
	}
	line("}")
	return b.String(), nil
}

func userList(public []string, permissions string) string {
	var out []string
	for _, key := range public {
		out = append(out, fmt.Sprintf("{nkey: %s%s}", key, permissions))
	}
	return strings.Join(out, ", ")
}

func quoted(all []string) string {
	var out []string
	for _, s := range all {
		out = append(out, fmt.Sprintf("%q", s))
	}
	return strings.Join(out, ", ")
}
