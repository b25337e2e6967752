package stack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// The ports of a NATS server, as NATS has them by itself.
const (
	natsPort    = 4222
	natsRoutes  = 6222
	natsMonitor = 8222
)

// natsContainer is what the server of each manager is called.
const natsContainer = "nats"

// servers are the addresses of the NATS servers for clients.
func (s *Stack) servers() []string {
	var urls []string
	for _, node := range s.managers {
		urls = append(urls, fmt.Sprintf("nats://%s:%d", s.Addr(node), natsPort))
	}
	return urls
}

// startNATS starts a server on each manager and waits until they are a cluster that
// stores. It is a container of the node's network, so that it goes with the node and
// comes back with it.
func (s *Stack) startNATS(ctx context.Context) error {
	if err := s.Program(ctx, natsContainer, "github.com/nats-io/nats-server/v2", s.managers...); err != nil {
		return err
	}
	for _, node := range s.managers {
		n := s.lab.Node(node)
		config, err := s.natsConfig(ctx, node)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(s.NATSStore(node), 0o700); err != nil {
			return err
		}
		file := n.Dir("nats.conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return err
		}
		if _, err := n.Docker(ctx, "run", "-d", "--name", natsContainer, "--network", "host", "--restart", "always",
			"-v", s.NATSStore(node)+":/data", "-v", file+":/nats.conf:ro", natsContainer, "-c", "/nats.conf"); err != nil {
			return err
		}
	}
	return tooltest.Poll(ctx, tooltest.Slowly, "the NATS servers to be a cluster", func(context.Context) error {
		for _, node := range s.managers {
			if err := s.monitorNATS(ctx, node, "/healthz", nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// Program builds a package of Go, of the versions that this module has, and makes it
// an image of that name on these nodes.
func (s *Stack) Program(ctx context.Context, name, packagePath string, nodes ...string) error {
	root, err := root()
	if err != nil {
		return err
	}
	file := s.lab.Node(Manager).Dir(name)
	defer func() { _ = os.Remove(file) }()
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, packagePath)
	build.Dir = filepath.Join(root, "compose", "e2e")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", packagePath, err, out)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	archive := file + ".tar"
	defer func() { _ = os.Remove(archive) }()
	if err := os.WriteFile(archive, tarOf(name, content), 0o600); err != nil {
		return err
	}
	for _, node := range nodes {
		if _, err := s.lab.Node(node).Docker(ctx, "import", "--change", fmt.Sprintf(`ENTRYPOINT ["/%s"]`, name), archive, name); err != nil {
			return err
		}
	}
	return nil
}

// tarOf is an archive with one program.
func tarOf(name string, content []byte) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	// Writing to memory cannot fail.
	_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))})
	_, _ = w.Write(content)
	_ = w.Close()
	return b.Bytes()
}

// natsConfig is what the listener prints for a NATS of others, and what each server of
// a cluster needs besides.
func (s *Stack) natsConfig(ctx context.Context, node string) (string, error) {
	args := []string{"run", "--rm", "--network", "none"}
	for component, key := range s.keys {
		args = append(args, "-e", "NATS_KEY_"+strings.ToUpper(component)+"="+key)
	}
	printed, err := s.lab.Node(Manager).Docker(ctx, append(args, s.options.image("listener"), "-nats-config")...)
	if err != nil {
		return "", err
	}
	var routes []string
	for _, other := range s.managers {
		routes = append(routes, fmt.Sprintf("nats://%s:%d", s.Addr(other), natsRoutes))
	}
	return printed + fmt.Sprintf(`
server_name: %s
http: "0.0.0.0:%d"
cluster { name: waggle, listen: "%s:%d", routes: [%s] }
`, node, natsMonitor, s.Addr(node), natsRoutes, strings.Join(routes, ", ")), nil
}

// monitorNATS asks the monitoring port of a node's server.
func (s *Stack) monitorNATS(ctx context.Context, node, path string, v any) error {
	return tooltest.Get(ctx, tooltest.Request{URL: fmt.Sprintf("http://%s:%d%s", node, natsMonitor, path), Client: s.http}, v)
}

// BucketLeader returns the node whose NATS server leads the stream of a bucket, by the word
// of the first server that names one.
func (s *Stack) BucketLeader(ctx context.Context, bucket string) (string, error) {
	var errs []error
	for _, node := range s.managers {
		leader, err := s.leaderBy(ctx, node, bucket)
		if err == nil {
			return leader, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// monitorTimeout is how long a server may take to say who leads: one whose link is cut
// never does, and must not keep the others from being heard.
const monitorTimeout = 500 * time.Millisecond

// BucketLed is an error unless most servers name the same leader of a bucket, and it names
// itself: those that have not noticed its death go on naming it, and it names nobody when it
// is started again.
func (s *Stack) BucketLed(ctx context.Context, bucket string) error {
	ctx, cancel := context.WithTimeout(ctx, monitorTimeout)
	defer cancel()
	var mu sync.Mutex // the servers answer at the same time
	by := map[string]string{}
	var errs []error
	var wait sync.WaitGroup
	for _, node := range s.managers {
		wait.Go(func() {
			leader, err := s.leaderBy(ctx, node, bucket)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			if err == nil {
				by[node] = leader
			}
		})
	}
	wait.Wait()
	for _, leader := range by {
		votes := 0
		for _, other := range by {
			if other == leader {
				votes++
			}
		}
		if by[leader] == leader && votes > len(s.managers)/2 {
			return nil
		}
	}
	return errors.Join(append(errs, fmt.Errorf("%s has no leader: by the word of each server they are %v", bucket, by))...)
}

// leaderBy returns who leads a bucket by the word of one node's server.
func (s *Stack) leaderBy(ctx context.Context, node, bucket string) (string, error) {
	var answer struct {
		Accounts []struct {
			Streams []struct {
				Name    string
				Cluster struct{ Leader string }
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	if err := s.monitorNATS(ctx, node, "/jsz?streams=true", &answer); err != nil {
		return "", err
	}
	for _, account := range answer.Accounts {
		for _, stream := range account.Streams {
			if stream.Name == "KV_"+bucket && stream.Cluster.Leader != "" {
				return stream.Cluster.Leader, nil
			}
		}
	}
	return "", fmt.Errorf("nobody leads %s by the word of %s", bucket, node)
}

// KillNATS sends SIGKILL to the NATS server of a node, whose engine starts it again.
func (s *Stack) KillNATS(ctx context.Context, node string) error {
	processes, err := s.lab.Processes(ctx, node, natsContainer)
	if err != nil {
		return err
	}
	if len(processes) == 0 {
		return fmt.Errorf("no NATS server runs on %s", node)
	}
	for _, p := range processes {
		err = errors.Join(err, syscall.Kill(p.PID, syscall.SIGKILL))
	}
	return err
}

// CutNATS takes the NATS server of a node off everybody's net, also that of the node
// itself, and MendNATS puts it back.
func (s *Stack) CutNATS(ctx context.Context, node string) error { return s.natsRules(ctx, node, "-I") }

// MendNATS ends CutNATS.
func (s *Stack) MendNATS(ctx context.Context, node string) error { return s.natsRules(ctx, node, "-D") }

func (s *Stack) natsRules(ctx context.Context, node, verb string) error {
	var err error
	for _, port := range []int{natsPort, natsRoutes} {
		for _, rule := range [][]string{{"INPUT", "--dport"}, {"INPUT", "--sport"}, {"OUTPUT", "--dport"}, {"OUTPUT", "--sport"}} {
			_, failed := s.lab.Node(node).Run(ctx, "iptables", "-w", verb, rule[0], "-p", "tcp", rule[1], fmt.Sprint(port), "-j", "DROP")
			err = errors.Join(err, failed)
		}
	}
	return err
}

// NATSHealthy waits until the NATS server of each of these nodes says that it is well.
func (s *Stack) NATSHealthy(ctx context.Context, nodes ...string) error {
	return tooltest.Poll(ctx, tooltest.Slowly, "the NATS servers to be well", func(context.Context) error {
		for _, node := range nodes {
			if err := s.monitorNATS(ctx, node, "/healthz", nil); err != nil {
				return fmt.Errorf("%s: %w", node, err)
			}
		}
		return nil
	})
}

// NATSStore is the folder of a node's server.
func (s *Stack) NATSStore(node string) string { return s.lab.Node(node).Dir("nats-store") }
