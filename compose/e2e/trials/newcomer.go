package trials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/lab"
	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// newcomer sits in front of the nodes, with a clone of the repository and its pages.
type newcomer struct {
	lab   *lab.Lab
	out   io.Writer
	nodes []*lab.Node
	// clone is the repository as he has cloned it, and home his folder.
	clone, home string
	// env are the variables that he has exported.
	env []string
	// images and tag are those that were built.
	images, tag string
	// before is the commit that he upgrades from.
	before string
	// pages is where the pages of this version are.
	pages string
	// here are words of the pages in whose place others stand here.
	here map[string]string
	// empty is what Docker told when nothing was done yet, by node.
	empty            map[string]string
	commands, untold int
	faults           []string
}

// version is the tag by which the pages call the images.
const version = "1.0.0"

// imageNames are those of Waggle's images.
func imageNames() []string { return []string{"listener", "proxy", "monitor", "scaler", "alertmanager"} }

func arrive(ctx context.Context, l *lab.Lab, c parts.Config, before string) (*newcomer, error) {
	n := &newcomer{
		lab: l, out: c.Out, nodes: l.Nodes(), images: cmp.Or(c.Images, "waggle"), tag: cmp.Or(c.Tag, "dev"), before: before,
		empty: map[string]string{}, here: map[string]string{},
	}
	n.home = n.nodes[0].Dir("home")
	n.clone = filepath.Join(n.home, "waggle")
	n.pages = n.clone
	n.env = []string{"HOME=" + n.home}
	if err := cloned(ctx, "", n.clone); err != nil {
		return nil, err
	}
	for _, node := range n.nodes {
		left, err := there(ctx, node)
		if err != nil {
			return nil, err
		}
		n.empty[node.Name()] = left
	}
	return n, nil
}

// leave takes away what the machine's own engine was given.
func (n *newcomer) leave(ctx context.Context) error {
	for _, name := range imageNames() {
		for _, tag := range []string{version, next} {
			_ = exec.CommandContext(ctx, "docker", "rmi", "waggle.invalid/"+name+":"+tag).Run() // Not all trials have made them.
		}
	}
	return nil
}

// cloned makes a folder of the files of a commit, or of those that git knows of today.
func cloned(ctx context.Context, commit, folder string) error {
	files := "git ls-files --cached --others --exclude-standard -z | tar -c --null --no-recursion --ignore-failed-read -T - 2>/dev/null"
	if commit != "" {
		files = "git archive " + commit
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "bash", "-c", "set -euo pipefail; cd \"$(git rev-parse --show-toplevel)\"; "+files+" | tar -x -C "+folder).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("clone: %w: %s", err, out)
	}
	return err
}

// does runs a command that stands on a page of the clone, on a node, and returns what it said.
func (n *newcomer) does(ctx context.Context, node *lab.Node, page, command string) (string, error) {
	if err := n.told(page, command); err != nil {
		return "", err
	}
	return n.run(ctx, node, command, page)
}

// told notes a fault if a page does not have a command.
func (n *newcomer) told(page, command string) error {
	text, err := os.ReadFile(filepath.Join(n.pages, page))
	if err == nil && !slices.Contains(strings.Split(string(text), "\n"), command) {
		n.fault("%s does not tell: %s", page, command)
	}
	return err
}

// types runs a command that stands on no page, because it is the newcomer's own business.
func (n *newcomer) types(ctx context.Context, node *lab.Node, command string) (string, error) {
	n.untold++
	return n.run(ctx, node, command, "")
}

func (n *newcomer) run(ctx context.Context, node *lab.Node, command, page string) (string, error) {
	n.commands++
	if words, ok := strings.CutPrefix(command, "export "); ok {
		n.env = append(n.env, strings.Fields(words)...)
		n.say("  0.0 s  %s$ %s%s", node.Name(), command, from(page))
		return "", nil
	}
	for told, is := range n.here {
		command = strings.ReplaceAll(command, told, is)
	}
	began := time.Now()
	out, err := node.Shell(ctx, n.clone, n.env, command)
	n.say("%5.1f s  %s$ %s%s", time.Since(began).Seconds(), node.Name(), command, from(page))
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return out, err
}

func from(page string) string { return "   # " + cmp.Or(page, "on no page") }

func (n *newcomer) say(format string, values ...any) { say(n.out, format, values...) }

// fault notes that something is not as the pages say.
func (n *newcomer) fault(format string, values ...any) {
	n.faults = append(n.faults, fmt.Sprintf(format, values...))
	n.say("- FAULT: "+format, values...)
}

// sees repeats a command of a page until what it says has all these words.
func (n *newcomer) sees(ctx context.Context, node *lab.Node, page, command string, words ...string) error {
	if err := n.told(page, command); err != nil {
		return err
	}
	return n.waits(ctx, node, command, page, words...)
}

func (n *newcomer) waits(ctx context.Context, node *lab.Node, command, page string, words ...string) error {
	n.commands++
	began, last := time.Now(), ""
	err := tooltest.PollFor(ctx, 3*time.Minute, 500*time.Millisecond, command, func(ctx context.Context) error {
		out, err := node.Shell(ctx, n.clone, n.env, command)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		for _, word := range words {
			if !strings.Contains(out, word) {
				return fmt.Errorf("it says %q, want %q", out, word)
			}
		}
		last = out
		return nil
	})
	if err != nil {
		return err
	}
	if strings.HasPrefix(command, "curl ") {
		last = last[strings.LastIndex(last, "\n")+1:] // Before it stands how far the transfer was.
	}
	line := strings.Join(strings.Fields(last), " ")
	n.say("%5.1f s  %s$ %s%s\n           %s", time.Since(began).Seconds(), node.Name(), command, from(page), line[:min(len(line), 160)])
	return nil
}

// writes makes a file of the block of a page that begins with its name.
func (n *newcomer) writes(page, name string) error {
	text, err := os.ReadFile(filepath.Join(n.pages, page))
	if err != nil {
		return err
	}
	m := regexp.MustCompile("(?ms)^```yaml\n(# " + regexp.QuoteMeta(name) + "\n.*?)^```").FindSubmatch(text)
	if m == nil {
		return fmt.Errorf("%s has no file %s", page, name)
	}
	n.say("         writes %s   # %s", name, page)
	return os.WriteFile(filepath.Join(n.clone, name), m[1], 0o600)
}

// steps runs commands of one page, one after the other.
func (n *newcomer) steps(ctx context.Context, node *lab.Node, page string, commands ...string) error {
	for _, command := range commands {
		if _, err := n.does(ctx, node, page, command); err != nil {
			return err
		}
	}
	return nil
}

// there is what Docker tells of what a node has; of networks those that each node has are left out.
func there(ctx context.Context, node *lab.Node) (string, error) {
	var all []string
	for _, command := range [][]string{
		{"ps", "--all", "--format", "container {{.Names}}"},
		{"network", "ls", "--format", "network {{.Name}}"},
		{"volume", "ls", "--format", "volume {{.Name}}"},
		{"service", "ls", "--format", "service {{.Name}}"},
		{"secret", "ls", "--format", "secret {{.Name}}"},
		{"config", "ls", "--format", "config {{.Name}}"},
	} {
		out, err := node.Docker(ctx, command...)
		if err != nil && !strings.Contains(err.Error(), "not a swarm manager") {
			return "", err
		}
		all = append(all, strings.Split(out, "\n")...)
	}
	all = slices.DeleteFunc(all, func(line string) bool {
		// These come with the swarm, and go with it.
		return line == "" || line == "network ingress" || line == "network docker_gwbridge"
	})
	slices.Sort(all)
	return strings.Join(all, "\n"), nil
}

// nothing checks that the nodes are as they were.
func (n *newcomer) nothing(ctx context.Context) error {
	for _, node := range n.nodes {
		left, err := there(ctx, node)
		if err != nil {
			return err
		}
		if left != n.empty[node.Name()] {
			n.fault("on %s there is left: %s", node.Name(), strings.ReplaceAll(left, "\n", ", "))
		}
		folders, err := os.ReadDir(n.home)
		if err != nil {
			return err
		}
		for _, f := range folders {
			if f.Name() != "waggle" {
				n.fault("a folder is left: %s", f.Name())
			}
		}
	}
	if len(n.faults) == 0 {
		n.say("         containers, networks, volumes, services, secrets and configs are as they were before, on %d nodes", len(n.nodes))
	}
	return nil
}

// built gives the images the names that 'make images' gives them with the variables of the page.
// Here they stand on stand-ins, and are built once for all tests.
func (n *newcomer) built(ctx context.Context) error {
	n.say("         make images: done before, on stand-ins for the official images of HAProxy, Prometheus and Alertmanager")
	return n.tagged(ctx, n.tag, version)
}

// tagged calls images of a tag as the pages call them.
func (n *newcomer) tagged(ctx context.Context, from, to string) error {
	for _, name := range imageNames() {
		image := n.images + "/" + name + ":" + from
		if out, err := exec.CommandContext(ctx, "docker", "tag", image, "waggle.invalid/"+name+":"+to).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s: run 'make images' first", err, out)
		}
	}
	return nil
}

// application brings the image of a small web server to all nodes. Here the demo application
// stands in for it, since there is no registry to pull it from.
func (n *newcomer) application(ctx context.Context, image string, port int, nodes ...*lab.Node) error {
	folder := n.nodes[0].Dir("application")
	dockerfile := fmt.Sprintf("FROM %s/demo:%s\nHEALTHCHECK NONE\nCMD [\"-addr\", \":%d\", \"-concurrency\", \"100\", \"-service-time\", \"1ms\"]\n", n.images, n.tag, port)
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, "Dockerfile"), []byte(dockerfile), 0o600)); err != nil {
		return err
	}
	// A name of its own on this machine, where others may have the real one.
	own := "waggle-trials/" + filepath.Base(filepath.Dir(n.nodes[0].Dir(""))) + ":" + fmt.Sprint(port)
	defer exec.CommandContext(context.WithoutCancel(ctx), "docker", "rmi", own).Run() //nolint:errcheck // It is there or it is not.
	archive := filepath.Join(folder, "image.tar")
	for _, args := range [][]string{{"build", "-q", "-t", own, folder}, {"save", "-o", archive, own}} {
		if out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("docker %s: %w: %s", args[0], err, out)
		}
	}
	for _, node := range nodes {
		if _, err := node.Docker(ctx, "load", "-q", "-i", archive); err != nil {
			return err
		}
		if _, err := node.Docker(ctx, "tag", own, image); err != nil {
			return err
		}
		if _, err := node.Docker(ctx, "rmi", own); err != nil {
			return err
		}
	}
	n.say("         the image %s is there (the demo application stands in for it)", image)
	return os.RemoveAll(folder)
}
