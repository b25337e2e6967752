package trials

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/lab"
	"github.com/wagglehq/waggle/compose/e2e/scenarios"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// The pages.
const (
	install    = "docs/install.md"
	started    = "docs/getting-started.md"
	operations = "docs/operations.md"
	tls        = "docs/tls.md"
	migrating  = "docs/migrating.md"
)

// up is a command whose answer shows the replicas of Waggle's services in columns.
const up = "docker service ls --filter name=waggle"

// one is the first hour on one node.
func (n *newcomer) one(ctx context.Context) error {
	node := n.nodes[0]
	began := time.Now()
	if err := n.brings(ctx); err != nil {
		return err
	}
	if err := n.steps(ctx, node, install, "docker swarm init"); err != nil {
		return err
	}
	if err := n.steps(ctx, node, operations, "compose/deploy --resolve-image never"); err != nil {
		return err
	}
	if err := n.running(ctx, 1); err != nil {
		return err
	}
	if err := n.first(ctx); err != nil {
		return err
	}
	n.say("- a first request on one node: %s after the images were there", seconds(time.Since(began)))
	for _, part := range []struct {
		name string
		play func(context.Context) error
	}{{"a certificate", n.certificate}, {"a message", n.message}, {"nothing is left", n.uninstall}} {
		began := time.Now()
		if err := part.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		n.say("- %s: %s", part.name, seconds(time.Since(began)))
	}
	return nil
}

// three is the same on three nodes, without what does not depend on their number.
func (n *newcomer) three(ctx context.Context) error {
	node := n.nodes[0]
	began := time.Now()
	if err := n.brings(ctx); err != nil {
		return err
	}
	if err := n.steps(ctx, node, install, "docker swarm init"); err != nil {
		return err
	}
	if err := n.joined(ctx); err != nil {
		return err
	}
	if err := n.writes(install, "pin.yml"); err != nil {
		return err
	}
	if err := n.steps(ctx, node, install, "compose/deploy -c pin.yml --resolve-image never"); err != nil {
		return err
	}
	if err := n.running(ctx, len(n.nodes)); err != nil {
		return err
	}
	if err := n.first(ctx); err != nil {
		return err
	}
	n.say("- a first request on each of three nodes: %s after the images were there", seconds(time.Since(began)))
	began = time.Now()
	if err := n.uninstall(ctx); err != nil {
		return err
	}
	n.say("- nothing is left: %s", seconds(time.Since(began)))
	return nil
}

// brings has the images on every node, as who has no registry does.
func (n *newcomer) brings(ctx context.Context) error {
	if err := n.built(ctx); err != nil {
		return err
	}
	if _, err := n.does(ctx, n.nodes[0], operations, "export WAGGLE_IMAGES=waggle.invalid WAGGLE_TAG=1.0.0 ALERTMANAGER_IMAGE=waggle.invalid/alertmanager:1.0.0"); err != nil {
		return err
	}
	return n.carries(ctx, version)
}

// carries saves the images where they were built, which here is the machine itself, and loads
// them on each node.
func (n *newcomer) carries(ctx context.Context, tag string) error {
	args := []string{"save", "-o", filepath.Join(n.clone, "waggle.tar")}
	for _, name := range imageNames() {
		args = append(args, "waggle.invalid/"+name+":"+tag)
	}
	if out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("docker save: %w: %s", err, out)
	}
	if err := n.told(operations, "docker "+strings.ReplaceAll(strings.Join(append([]string{"save", "-o", "waggle.tar"}, args[3:]...), " "), ":"+tag, ":"+version)); err != nil {
		return err
	}
	for _, node := range n.nodes {
		if _, err := n.does(ctx, node, operations, "docker load -i waggle.tar"); err != nil {
			return err
		}
	}
	_, err := n.types(ctx, n.nodes[0], "rm waggle.tar")
	return err
}

// joined makes managers of the other nodes.
func (n *newcomer) joined(ctx context.Context) error {
	out, err := n.does(ctx, n.nodes[0], install, "docker swarm join-token manager")
	if err != nil {
		return err
	}
	_, join, _ := strings.Cut(out, "    ")
	for _, other := range n.nodes[1:] {
		if _, err := n.run(ctx, other, strings.TrimSpace(join), install+", what the last one printed"); err != nil {
			return err
		}
	}
	return nil
}

// running waits until all of Waggle runs, the proxy on so many nodes.
func (n *newcomer) running(ctx context.Context, nodes int) error {
	want := []string{fmt.Sprintf("waggle_proxy global %[1]d/%[1]d", nodes)}
	for _, name := range []string{"alertmanager", "listener", "monitor", "scaler"} {
		want = append(want, "waggle_"+name+" replicated 1/1")
	}
	return n.seesColumns(ctx, n.nodes[0], install, up, want...)
}

// first creates a service and asks it by way of each node.
func (n *newcomer) first(ctx context.Context) error {
	if err := n.application(ctx, "traefik/whoami", 80, n.nodes...); err != nil {
		return err
	}
	const create = "docker service create --name hello --network waggle --endpoint-mode dnsrr --label com.df.notify=true --label com.df.servicePath=/hello --label com.df.port=80 traefik/whoami"
	if err := n.steps(ctx, n.nodes[0], install, create); err != nil {
		return err
	}
	for _, node := range n.nodes {
		if err := n.sees(ctx, node, install, "curl http://localhost/hello", "/hello"); err != nil {
			return err
		}
	}
	return n.sees(ctx, n.nodes[0], install, "compose/look listener /v1/services/hello", "applied by proxy")
}

// certificate is one of his own, for a name that DNS does not know yet.
func (n *newcomer) certificate(ctx context.Context) error {
	if err := n.steps(ctx, n.nodes[0], tls,
		`openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=shop.example.com -addext subjectAltName=DNS:shop.example.com -keyout key.pem -out cert.pem`,
		"cat cert.pem key.pem > shop.pem",
		"compose/look proxy -put /v1/certs/shop.pem <shop.pem",
	); err != nil {
		return err
	}
	return n.sees(ctx, n.nodes[0], tls, "curl --cacert cert.pem --resolve shop.example.com:443:127.0.0.1 https://shop.example.com/hello", "/hello")
}

// message is one that a chat gets, for which a stand-in listens.
func (n *newcomer) message(ctx context.Context) error {
	var chat scenarios.Chat
	url, err := chat.Listen(ctx, n.lab.HostAddr())
	if err != nil {
		return err
	}
	defer chat.Close()
	n.here["https://hooks.example.com/services/T0/B0/KEY"] = url
	if err := n.steps(ctx, n.nodes[0], started, "ALERT_SLACK=https://hooks.example.com/services/T0/B0/KEY compose/deploy"); err != nil {
		return err
	}
	if err := n.steps(ctx, n.nodes[0], operations, `docker service update --label-add com.df.alertName=try --label-add "com.df.alertIf=vector(1)" hello`); err != nil {
		return err
	}
	began := time.Now()
	if err := tooltest.PollFor(ctx, 4*time.Minute, time.Second, "a message", func(context.Context) error { return chat.Told("try") }); err != nil {
		return err
	}
	n.say("%5.1f s  the chat has the message", time.Since(began).Seconds())
	return nil
}

// uninstall takes all away, and looks whether anything is left.
func (n *newcomer) uninstall(ctx context.Context) error {
	if err := n.steps(ctx, n.nodes[0], install, "docker service rm hello"); err != nil {
		return err
	}
	if err := n.steps(ctx, n.nodes[0], operations, "compose/uninstall"); err != nil {
		return err
	}
	out, err := n.does(ctx, n.nodes[0], operations, "compose/uninstall --yes")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		_, command, ok := strings.Cut(strings.TrimSpace(line), "to remove those: ")
		if !ok {
			continue
		}
		nodes := n.nodes
		if strings.Contains(line, "volumes are local") {
			nodes = nodes[1:]
		}
		for _, node := range nodes {
			if _, err := n.run(ctx, node, tolerant(command), "as compose/uninstall said"); err != nil {
				return err
			}
		}
	}
	return n.nothing(ctx)
}

// tolerant goes on where a node does not have all of the images that others had.
func tolerant(command string) string {
	if strings.HasPrefix(command, "docker image rm ") {
		return command + " || true"
	}
	return command
}

// seesColumns is sees for an answer in columns, whose blanks are one.
func (n *newcomer) seesColumns(ctx context.Context, node *lab.Node, page, command string, words ...string) error {
	if err := n.told(page, command); err != nil {
		return err
	}
	return n.waits(ctx, node, command+" | tr -s ' '", page, words...)
}
