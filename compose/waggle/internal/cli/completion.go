package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/wagglehq/waggle/pkg/picture"
)

type completionCommand struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Run prints a script for the shell, made of the commands and flags that there are.
func (c *completionCommand) Run(r *run) error {
	write := map[string]func(*kong.Application) string{"bash": bash, "zsh": zsh, "fish": fish}[c.Shell]
	_, err := fmt.Fprint(r.Out, write(r.model))
	return err
}

type servicesCommand struct{}

// Run prints the names of all services with labels, for the shell alone: without an answer
// it is silent.
func (servicesCommand) Run(r *run) error {
	var p picture.Picture
	if err := r.ask(picturePath, &p); err != nil {
		return exit{code: NoAnswer}
	}
	for _, svc := range p.Services {
		// A shell expands what it offers: nothing but a name may come to it.
		if len(svc.Labels)+len(svc.ContainerLabels)+len(svc.Withheld) > 0 && isName.MatchString(svc.Name) {
			fmt.Fprintln(r.Out, svc.Name)
		}
	}
	return nil
}

// asksService are the commands whose argument may be the name of a service, and takesFiles
// those whose argument is a file.
func asksService(command string) bool { return command == "why" }

// isName is how Docker lets services be called.
var isName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// words are the subcommands or choices, and the flags, of a command.
func words(n *kong.Node) (choices, flags []string) {
	for _, child := range n.Children {
		if !child.Hidden {
			choices = append(choices, child.Name)
		}
	}
	for _, p := range n.Positional {
		choices = append(choices, p.EnumSlice()...)
	}
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			flags = append(flags, "--"+f.Name)
		}
	}
	return slices.DeleteFunc(choices, func(c string) bool { return c == "" }), flags
}

// flagChoices are the values of a command's flags that are one of a few.
func flagChoices(n *kong.Node) map[string][]string {
	out := map[string][]string{}
	for _, f := range n.Flags {
		if f.Enum != "" {
			out["--"+f.Name] = f.EnumSlice()
			if f.Short != 0 {
				out["-"+string(f.Short)] = f.EnumSlice()
			}
		}
	}
	return out
}

func bash(app *kong.Application) string {
	var cases, values strings.Builder
	for _, n := range app.Children {
		if n.Hidden {
			continue
		}
		choices, flags := words(n)
		more := ""
		if asksService(n.Name) {
			more = " $(waggle services 2>/dev/null)"
		}
		fmt.Fprintf(&cases, "    %s) words=\"%s%s\" ;;\n", n.Name, strings.Join(append(choices, flags...), " "), more)
		for flag, list := range flagChoices(n) {
			fmt.Fprintf(&values, "    %s:%s) words=\"%s\" ;;\n", n.Name, flag, strings.Join(list, " "))
		}
	}
	choices, flags := words(app.Node)
	return fmt.Sprintf(`# bash completion for waggle: source <(waggle completion bash)
_waggle() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words="%s"
  case ${COMP_WORDS[1]} in
%s  esac
  case ${COMP_WORDS[1]}:$previous in
%s    *:--service) words=$(waggle services 2>/dev/null) ;;
  esac
  [ "$COMP_CWORD" -gt 1 ] || words="%s"
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _waggle waggle
`, strings.Join(flags, " "), cases.String(), sorted(values.String()), strings.Join(append(choices, flags...), " "))
}

// sorted are lines in an order that does not depend on that of a map.
func sorted(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func zsh(app *kong.Application) string {
	return "#compdef waggle\n# zsh completion for waggle: source <(waggle completion zsh)\nautoload -U +X bashcompinit && bashcompinit\n" + strings.Replace(bash(app),
		"mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")", "COMPREPLY=( $(compgen -W \"$words\" -- \"$current\") )", 1)
}

func fish(app *kong.Application) string {
	var out strings.Builder
	out.WriteString("# fish completion for waggle: waggle completion fish | source\n")
	quote := func(text string) string { return "'" + strings.ReplaceAll(text, "'", `\'`) + "'" }
	for _, n := range app.Children {
		if n.Hidden {
			continue
		}
		fmt.Fprintf(&out, "complete -c waggle -n __fish_use_subcommand -a %s -d %s\n", n.Name, quote(n.Help))
		when := quote("__fish_seen_subcommand_from " + n.Name)
		choices, _ := words(n)
		if asksService(n.Name) {
			choices = append(choices, "(waggle services 2>/dev/null)")
		}
		if len(choices) > 0 {
			fmt.Fprintf(&out, "complete -c waggle -n %s -a %s\n", when, quote(strings.Join(choices, " ")))
		}
		for _, f := range n.Flags {
			line := fmt.Sprintf("complete -c waggle -n %s -l %s -d %s", when, f.Name, quote(f.Help))
			if f.Short != 0 {
				line += " -s " + string(f.Short)
			}
			switch {
			case f.Enum != "":
				line += " -x -a " + quote(strings.Join(f.EnumSlice(), " "))
			case f.Name == "service":
				line += " -x -a '(waggle services 2>/dev/null)'"
			case !f.IsBool():
				line += " -r"
			}
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}
