package trials

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/lab"
	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// next is the tag by which the pages call the version that is upgraded to.
const next = "1.1.0"

// upgrade goes from the version before to that of today, and back, while requests flow.
func (n *newcomer) upgrade(ctx context.Context) error {
	commit, err := n.former(ctx)
	if err != nil {
		return err
	}
	n.pages, n.clone = n.clone, filepath.Join(n.home, "deployed")
	if err := cloned(ctx, commit, n.clone); err != nil {
		return err
	}
	node := n.nodes[0]
	if err := n.steps(ctx, node, operations, "export WAGGLE_IMAGES=waggle.invalid WAGGLE_TAG=1.0.0 ALERTMANAGER_IMAGE=waggle.invalid/alertmanager:1.0.0"); err != nil {
		return err
	}
	if err := n.carries(ctx, next); err != nil {
		return err
	}
	if err := n.steps(ctx, node, install, "docker swarm init"); err != nil {
		return err
	}
	deploy := "compose/deploy --resolve-image never"
	if len(n.nodes) > 1 {
		if err := n.joined(ctx); err != nil {
			return err
		}
		if err := n.writes(install, "pin.yml"); err != nil {
			return err
		}
		deploy = "compose/deploy -c pin.yml --resolve-image never"
	}
	if _, err := n.run(ctx, node, deploy, install); err != nil {
		return err
	}
	if err := n.running(ctx, len(n.nodes)); err != nil {
		return err
	}
	if err := n.serves(ctx); err != nil {
		return err
	}
	// What he had exported for the first deployment he has not any more.
	n.env = n.env[:1]
	if err := n.moves(ctx, "", next); err != nil {
		return fmt.Errorf("the upgrade: %w", err)
	}
	if err := n.moves(ctx, commit, version); err != nil {
		return fmt.Errorf("the way back: %w", err)
	}
	return nil
}

// former is the commit of the version before. Its images are built on the first node's own engine,
// from programs that are kept below dist/, and carried to the other nodes.
func (n *newcomer) former(ctx context.Context) (string, error) {
	if n.before == "" {
		return "", errors.New("WAGGLE_BEFORE names no commit or tag from which is upgraded")
	}
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel", "--short=7", n.before+"^{commit}").Output()
	if err != nil {
		return "", fmt.Errorf("git knows no %s: %w", n.before, err)
	}
	words := strings.Fields(string(out))
	commit := words[len(words)-1]
	folder := filepath.Join(words[0], "dist", "before-"+commit)
	if err := cloned(ctx, commit, folder); err != nil {
		return "", err
	}
	first := n.nodes[0]
	cmd := exec.CommandContext(ctx, "compose/images/images.sh", "listener", "proxy", "monitor", "scaler", "alertmanager")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+first.Host(), "WAGGLE_TAG="+version, "WAGGLE_VERSION="+commit, "WAGGLE_IMAGES=waggle.invalid", "WAGGLE_BASES=stand-in")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the images of %s: %w: %s", commit, err, out)
	}
	archive := first.Dir("before.tar")
	args := []string{"save", "-o", archive}
	for _, name := range imageNames() {
		args = append(args, "waggle.invalid/"+name+":"+version)
	}
	if _, err := first.Docker(ctx, args...); err != nil {
		return "", err
	}
	for _, node := range n.nodes[1:] {
		if _, err := node.Docker(ctx, "load", "-q", "-i", archive); err != nil {
			return "", err
		}
	}
	n.say("         %s stands for version %s, today's files for %s", commit, version, next)
	return commit, errors.Join(os.Remove(archive), n.tagged(ctx, n.tag, next))
}

// serves creates a service that is routed, scraped and scaled, and uploads a certificate.
func (n *newcomer) serves(ctx context.Context) error {
	const image = "registry.example.com/shop/web:7"
	if err := n.application(ctx, image, 8080, n.nodes...); err != nil {
		return err
	}
	node := n.nodes[0]
	for _, command := range []string{
		"docker service create --quiet --no-resolve-image --name web --replicas 2 --network waggle --endpoint-mode dnsrr --label com.df.notify=true --label com.df.servicePath=/web --label com.df.port=8080" +
			" --label com.df.scrapePort=8080 --label com.df.alertName=slow --label com.df.alertIf=@resp_time_above:0.25,1m,0.9 --label com.df.scaleMin=2 --label com.df.scaleMax=4 " + image,
		"openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=shop.example.com -addext subjectAltName=DNS:shop.example.com -keyout key.pem -out cert.pem 2>/dev/null",
		"cat cert.pem key.pem > shop.pem && compose/look proxy -put /v1/certs/shop.pem <shop.pem",
	} {
		if _, err := n.types(ctx, node, command); err != nil {
			return err
		}
	}
	return n.knows(ctx)
}

// knows waits until all components say that the service is as its labels ask for.
func (n *newcomer) knows(ctx context.Context) error {
	if err := n.waits(ctx, n.nodes[0], "compose/look listener /v1/services/web", operations, "applied by monitor; applied by proxy; applied by scaler"); err != nil {
		return err
	}
	return n.waits(ctx, n.nodes[0], "compose/look proxy /v1/certs", operations, `"shop.pem"`)
}

// moves deploys another version, by the files of a commit, today's if it is empty.
func (n *newcomer) moves(ctx context.Context, commit, tag string) error {
	asked := n.asks(ctx)
	began := time.Now()
	if err := n.told(operations, "git checkout v"+tag); err != nil {
		return err
	}
	if err := n.checksOut(ctx, commit); err != nil {
		return err
	}
	n.say("         $ git checkout v%s   # %s, here from an archive", tag, operations)
	if _, err := n.does(ctx, n.nodes[0], operations, "WAGGLE_TAG="+tag+" compose/deploy"); err != nil {
		return err
	}
	if err := tooltest.PollFor(ctx, 5*time.Minute, 200*time.Millisecond, "all services to be of "+tag, func(ctx context.Context) error { return n.updated(ctx, tag) }); err != nil {
		return err
	}
	n.say("%5.1f s  all services run as %s, and nothing of before does", time.Since(began).Seconds(), tag)
	if err := n.knows(ctx); err != nil {
		return err
	}
	scaler, err := n.runs(ctx, "waggle_scaler")
	if err != nil {
		return err
	}
	// It is not known alone, but done: by hand it is scaled by one, and back. Asked again by the
	// same id, it is the same request.
	for _, c := range []struct{ to, done string }{{"up", "Scaling web from 2 to 3"}, {"down", "Scaling web from 3 to 2"}} {
		if err := n.waits(ctx, scaler, "compose/look scaler -post '/v1/scale-service?service=web&scale="+c.to+"&by=1&id="+tag+"-"+c.to+"'", started, c.done); err != nil {
			return err
		}
	}
	return n.answered(asked())
}

// runs returns a node on which a service has a task.
func (n *newcomer) runs(ctx context.Context, service string) (*lab.Node, error) {
	for _, node := range n.nodes {
		if found, err := node.Docker(ctx, "ps", "--quiet", "--filter", "name="+service+"."); err != nil || found != "" {
			return node, err
		}
	}
	return nil, fmt.Errorf("%s runs nowhere", service)
}

// checksOut puts the files of a commit in the place of those that are there. What is the
// newcomer's own stays.
func (n *newcomer) checksOut(ctx context.Context, commit string) error {
	entries, err := os.ReadDir(n.clone)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); name != "pin.yml" && !strings.HasSuffix(name, ".pem") {
			if err := os.RemoveAll(filepath.Join(n.clone, name)); err != nil {
				return err
			}
		}
	}
	return cloned(ctx, commit, n.clone)
}

// updated tells whether every service of Waggle has its tasks, of this tag and no other.
func (n *newcomer) updated(ctx context.Context, tag string) error {
	out, err := n.nodes[0].Docker(ctx, "service", "ls", "--filter", "name=waggle_", "--format", "{{.Name}} {{.Replicas}}")
	if err != nil {
		return err
	}
	services := strings.Fields(out)
	for i := 1; i < len(services); i += 2 {
		if have, want, _ := strings.Cut(services[i], "/"); have != want {
			return fmt.Errorf("%s: %s", services[i-1], services[i])
		}
	}
	if len(services) != 2*len(imageNames()) {
		return fmt.Errorf("services: %s", out)
	}
	for i := 0; i < len(services); i += 2 {
		state, err := n.nodes[0].Docker(ctx, "service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}} {{with .UpdateStatus}}{{.State}}{{end}}", services[i])
		if err != nil {
			return err
		}
		words := strings.Fields(state)
		if strings.Contains(state, "rollback") || strings.Contains(state, "paused") {
			return tooltest.Final(fmt.Errorf("%s: %s", services[i], state))
		}
		// Alertmanager's image is not ours, and stays.
		if services[i] != "waggle_alertmanager" && !strings.HasSuffix(words[0], ":"+tag) || len(words) > 1 && words[1] != "completed" {
			return fmt.Errorf("%s: %s", services[i], state)
		}
	}
	for _, node := range n.nodes {
		images, err := node.Docker(ctx, "ps", "--filter", "name=waggle_", "--format", "{{.Image}}")
		if err != nil {
			return err
		}
		for image := range strings.FieldsSeq(images) {
			if !strings.Contains(image, "/alertmanager:") && !strings.HasSuffix(image, ":"+tag) {
				return fmt.Errorf("%s still runs %s", node.Name(), image)
			}
		}
	}
	return nil
}

// rate is how many requests per second flow.
const rate = 200

// asks sends requests by way of all nodes until what is returned is called, half of them on
// connections that are kept alive. Who finds nobody at one node tries the next, as whoever has
// several addresses from DNS.
func (n *newcomer) asks(ctx context.Context) func() (map[string]load.Report, error) {
	ctx, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	var mu sync.Mutex // the reports are written by each kind of requests
	reports, errs := map[string]load.Report{}, []error{}
	for i, node := range n.nodes {
		for kind, keepAlive := range map[string]bool{"kept alive": true, "new connections": false} {
			wait.Go(func() {
				r, err := load.Run(ctx, load.Config{
					URL: "http://" + node.Addr() + "/web", Others: others(n.nodes, i), Rate: rate / 2 / float64(len(n.nodes)), Connections: 10, KeepAlive: keepAlive,
					Duration: limit, Timeout: 10 * time.Second,
				})
				mu.Lock()
				defer mu.Unlock()
				reports[node.Name()+", "+kind], errs = r, append(errs, err)
			})
		}
	}
	return func() (map[string]load.Report, error) {
		stop()
		wait.Wait()
		return reports, errors.Join(errs...)
	}
}

// others are the addresses of all nodes but one.
func others(nodes []*lab.Node, but int) []string {
	var out []string
	for i, node := range nodes {
		if i != but {
			out = append(out, node.Addr())
		}
	}
	return out
}

// longest is how long nobody may have answered on one node, on a machine that is busy.
const longest = 15 * time.Second

// answered says what became of the requests. With several nodes none may fail; with one those
// may whom nobody listened to, or that were on connections which had to end.
func (n *newcomer) answered(reports map[string]load.Report, err error) error {
	if err != nil {
		return err
	}
	requests, failed := 0, 0
	var first, last time.Time
	for kind, r := range reports {
		requests, failed = requests+r.Requests, failed+r.Failed
		for _, f := range r.Failures {
			if first.IsZero() || f.Began.Before(first) {
				first = f.Began
			}
			if f.Began.After(last) {
				last = f.Began
			}
		}
		if r.Failed > 0 {
			n.say("         %s: %v: %v", kind, r, r.Examples)
		}
		if r.Kinds[load.Status] > 0 {
			n.fault("%s: %d answers were not 200: %v", kind, r.Kinds[load.Status], r.Statuses)
		}
	}
	gap := last.Sub(first)
	n.say("- %d of %d requests failed, %d per second; from the first to the last of them %s", failed, requests, rate, seconds(gap))
	if len(n.nodes) > 1 && failed > 0 {
		n.fault("%d requests failed, and there was always a node that served", failed)
	}
	if gap > longest {
		n.fault("for %s nobody answered", seconds(gap))
	}
	return nil
}
