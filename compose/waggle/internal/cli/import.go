package cli

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/compose/waggle/internal/migrate"
	"github.com/wagglehq/waggle/compose/waggle/internal/plain"
)

type importCommand struct {
	output
	Proxy string `arg:"" help:"Whose labels the file has: traefik or caddy." enum:"traefik,caddy"`
	File  string `arg:"" help:"A stack or compose file. Its variables stay as they are."`
}

// Run prints the labels that take the place of those of another proxy, and what is lost.
func (c *importCommand) Run(r *run) error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	results, err := migrate.File(text, migrate.Translators()[c.Proxy])
	if err != nil {
		return exit{code: NoAnswer, text: fmt.Sprintf("%s: %v", c.File, err)}
	}
	if c.Output == "json" {
		err = r.json(map[string]any{"services": append([]migrate.Result{}, results...)})
	} else {
		r.labels(c, results)
	}
	switch {
	case err != nil:
		return err
	case slices.ContainsFunc(results, func(s migrate.Result) bool { return len(s.Closed) > 0 }):
		return exit{code: Closed}
	case slices.ContainsFunc(results, func(s migrate.Result) bool { return len(s.Lost) > 0 }):
		return exit{code: Faults}
	}
	return nil
}

// labels writes what goes into the stack file, and as comments what is lost.
func (r *run) labels(c *importCommand, results []migrate.Result) {
	if len(results) == 0 {
		r.line("# no service has labels of %s", c.Proxy)
		return
	}
	r.line("# in the place of the labels of %s; each service joins the network waggle as well", c.Proxy)
	r.line("services:")
	for _, s := range results {
		r.line("  %s:", s.Service)
		for _, lost := range s.Lost {
			r.line("    # lost: %s", strings.ReplaceAll(lost, "\n", " "))
		}
		for _, closed := range s.Closed {
			r.line("    # closed: %s", strings.ReplaceAll(closed, "\n", " "))
		}
		if migrate.Refuses(s) {
			r.line("    # com.df.%s answers 403 to everybody until that is done: take it out then", migrate.Refuse)
		}
		r.line("    networks: [waggle]")
		r.line("    deploy:")
		r.line("      labels:")
		for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
			r.line("        %s: %s", name, yamlText(s.Labels[name]))
		}
	}
	r.line("networks:")
	r.line("  waggle: {external: true}")
}

// yamlText is a text as YAML has it between single quotes, or between double ones if something in it
// is not seen.
func yamlText(text string) string {
	if plain.Line(text) != text {
		return strconv.Quote(text)
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}
