package attack

import (
	"context"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// misspelled are services with a label that was to keep somebody out.
func misspelled() []crook {
	row := func(what, meant string, labels ...string) crook {
		const host = "thief.attack.test"
		return crook{what: what, labels: stack.Labels("/", append(labels, "serviceDomain", host)...), says: []string{meant, "com.df." + labels[0]}, hosts: []string{host}}
	}
	return []crook{
		row("a letter too few", "com.df.allowedAddresses", "allowedAdresses", "10.0.0.0/8"),
		row("in another case", "com.df.users", "Users", "u:p"),
		row("at an index that leads nowhere", "no destination", "users.2", "u:p"),
		row("empty", "let everybody in", "allowedAddresses", ""),
		row("with a dash", "com.df.rateLimit", "rate-limit", "1/1s"),
	}
}

// slips has labels that decide who gets in be misspelled, or lead nowhere: the service is
// refused, where it would otherwise be open.
func (w *world) slips(ctx context.Context) error {
	return w.under(ctx, func(ctx context.Context) error { return w.refused(ctx, misspelled()...) })
}
