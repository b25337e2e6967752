package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// worker is a task that counts who its requests come from, and how long connections live.
type worker struct {
	port string
	// open are the connections that are there, used those that got a second request.
	open, used atomic.Int64
}

// newWorker starts a task that keeps idle connections for so long, for ever if that is 0.
func newWorker(t *testing.T, idle time.Duration, handle http.HandlerFunc) *worker {
	t.Helper()
	ln := tooltest.Listen(t, "127.0.0.2:0")
	w := &worker{port: portOf(ln)}
	var mu sync.Mutex
	requests := map[net.Conn]int{}
	srv := &http.Server{
		IdleTimeout: idle, ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols), Handler: handle,
		ConnState: func(c net.Conn, s http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			switch s {
			case http.StateNew:
				w.open.Add(1)
			case http.StateActive:
				if requests[c]++; requests[c] == 2 {
					w.used.Add(1)
				}
			case http.StateClosed, http.StateHijacked:
				w.open.Add(-1)
				delete(requests, c)
			case http.StateIdle:
			}
		},
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = srv.Serve(ln) }() // it ends when it is closed
	t.Cleanup(func() { _ = srv.Close() })
	return w
}

func portOf(ln net.Listener) string { return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port) }

// drained answers when it has read the request.
func drained(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, "ok")
}

// at deploys services that all have the same task, and waits until they answer.
func (h *house) at(port string, names []string, more ...string) {
	h.t.Helper()
	services := map[string]catalog.Service{}
	for i, name := range names {
		svc := catalog.Service{ID: "id-" + name, Name: name, Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"}, CreatedAt: time.Unix(int64(i), 0),
			Labels: map[string]string{catalog.Notify: "true", catalog.Prefix + "servicePath": "/" + name + "/", catalog.Prefix + "port": port}}
		for j := 0; j < len(more); j += 2 {
			svc.Labels[catalog.Prefix+more[j]] = more[j+1]
		}
		services[svc.ID] = svc
		h.dns.set(name, "127.0.0.2")
	}
	for id, svc := range h.services {
		services[id] = svc
	}
	h.services = services
	h.publish()
	for _, name := range names {
		tooltest.Eventually(h.t, name+" is served", func() error {
			got, err := h.get("/" + name + "/")
			if err == nil && got == "503" {
				err = errors.New(got)
			}
			return err
		})
	}
}

// post sends a POST, which nobody sends again, as one of the clients of tr.
func (h *house) post(ctx context.Context, tr *http.Transport, service string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/%s/", h.http, service), strings.NewReader("x"))
	if err != nil {
		return err
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return errors.Join(err, res.Body.Close())
}

// stranger is a client with a new connection for each request.
func stranger() *http.Transport { return &http.Transport{DisableKeepAlives: true} }

// TestNoPostMeetsAConnectionThatATaskCloses: many tasks close what was idle for 5 s, and a
// POST that is sent at that very moment on such a connection would be lost. Every client
// here sends one when the last is 5 s old, give or take a few milliseconds.
func TestNoPostMeetsAConnectionThatATaskCloses(t *testing.T) {
	const idle, clients, rounds = 5 * time.Second, 120, 2
	h := newHouse(t)
	h.supervised()
	h.run()
	task := newWorker(t, idle, drained)
	var names []string
	for i := range clients {
		names = append(names, fmt.Sprintf("new%d", i), fmt.Sprintf("kept%d", i))
	}
	h.at(task.port, names)
	var wait sync.WaitGroup
	var sent atomic.Int64
	for i, name := range names {
		wait.Go(func() {
			client := &http.Transport{}
			defer client.CloseIdleConnections()
			if strings.HasPrefix(name, "new") {
				client = stranger()
			}
			// Not all at once, which would make the moment a matter of luck.
			pause := time.Duration(i) * 5 * time.Millisecond
			for round := range rounds + 1 {
				if err := tooltest.Pause(t.Context(), pause); err != nil {
					return
				}
				if err := h.post(t.Context(), client, name); err != nil {
					t.Errorf("%s, POST %d: %v", name, round, err)
				}
				sent.Add(1)
				pause = idle + time.Duration((i*37+round*101)%41-20)*100*time.Microsecond
			}
		})
	}
	wait.Wait()
	if want := int64(len(names) * (rounds + 1)); sent.Load() != want {
		t.Errorf("%d POSTs were sent, want %d", sent.Load(), want)
	}
}

// TestConnectionsToTasksAreSharedAndSoonClosed: a client that comes with a new connection
// for each request costs no connection to a task each time, unless the service wants that.
// What is left of a crowd is closed long before tasks do it.
func TestConnectionsToTasksAreSharedAndSoonClosed(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	shared, apart := newWorker(t, 0, drained), newWorker(t, 0, drained)
	h.at(shared.port, []string{"shared"})
	h.at(apart.port, []string{"apart"}, "httpReuse", "safe")
	few := func(service string) error {
		for range 10 {
			if err := h.post(t.Context(), stranger(), service); err != nil {
				return err
			}
		}
		return nil
	}
	tooltest.Eventually(t, "a connection is used for two clients", func() error {
		if err := few("shared"); err != nil || shared.used.Load() > 0 {
			return err
		}
		return errors.New("each had its own")
	})
	tooltest.Must(t, few("apart"))
	if n := apart.used.Load(); n > 0 {
		t.Errorf("%d connections of a service with httpReuse=safe were used for two clients", n)
	}

	var wait sync.WaitGroup
	for range 100 {
		wait.Go(func() {
			if err := h.post(t.Context(), stranger(), "shared"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	tooltest.Within(t, 4*time.Second, "no idle connection is left", func() error {
		if n := shared.open.Load() + apart.open.Load(); n > 0 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
}

// knowing is a task that knows users by their connections, as NTLM and Negotiate have it:
// once one has said who he is, all further requests on it are taken for his.
func knowing(t *testing.T) (port string) {
	t.Helper()
	ln := tooltest.Listen(t, "127.0.0.2:0")
	go tooltest.Accept(ln, func(conn net.Conn) {
		in, user, begun := bufio.NewReader(conn), "", false
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			scheme, said, _ := strings.Cut(req.Header.Get("Authorization"), " ")
			switch {
			case scheme == "NTLM" && !begun:
				begun = true // who it is follows in answer to this
				_, _ = io.WriteString(conn, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM challenge\r\nContent-Length: 0\r\n\r\n")
				continue
			case said != "":
				user = said
			}
			if user == "" {
				_, _ = io.WriteString(conn, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n")
				continue
			}
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(user), user)
		}
	})
	return portOf(ln)
}

// TestWhoIsKnownByHisConnectionSharesItWithNobody, whether he says who he is when he is
// asked for it, or before.
func TestWhoIsKnownByHisConnectionSharesItWithNobody(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.at(knowing(t), []string{"web"})
	ask := func(client *http.Transport, authorization string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/web/", h.http), nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		res, err := client.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(strconv.Itoa(res.StatusCode) + " " + string(body))
	}
	for name, dialogue := range map[string][][2]string{
		"NTLM":                                 {{"", "401"}, {"NTLM hello", "401"}, {"NTLM alice", "200 alice"}, {"", "200 alice"}},
		"Negotiate, asked":                     {{"", "401"}, {"Negotiate alice", "200 alice"}},
		"Negotiate, before being asked":        {{"Negotiate alice", "200 alice"}},
		"in small letters, as HTTP allows too": {{"negotiate alice", "200 alice"}},
	} {
		t.Run(name, func(t *testing.T) {
			alice := &http.Transport{}
			defer alice.CloseIdleConnections()
			for _, d := range dialogue {
				if got := ask(alice, d[0]); got != d[1] {
					t.Fatalf("%q is answered %q, want %q", d[0], got, d[1])
				}
			}
			visitor := &http.Transport{}
			defer visitor.CloseIdleConnections()
			for range 20 {
				for who, client := range map[string]*http.Transport{"a stranger": stranger(), "a visitor who stays": visitor} {
					if got := ask(client, ""); got != "401" {
						t.Fatalf("%s is answered %q, want 401", who, got)
					}
				}
			}
		})
	}
}

// TestNTLMOutlivesAPause: the connection on which somebody is known stays his while his own
// lasts, however long he is silent.
func TestNTLMOutlivesAPause(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.at(knowing(t), []string{"web"})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", h.http))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for i, authorization := range []string{"", "NTLM hello", "NTLM alice", ""} {
		if i == 3 {
			// The others' idle connections are gone after a tenth of that.
			tooltest.Must(t, tooltest.Pause(t.Context(), 2*time.Second))
		}
		header := ""
		if authorization != "" {
			header = "Authorization: " + authorization + "\r\n"
		}
		_, _ = fmt.Fprintf(conn, "GET /web/ HTTP/1.1\r\nHost: web\r\n%s\r\n", header)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if want := []int{401, 401, 200, 200}[i]; res.StatusCode != want {
			t.Errorf("request %d, %q: %d, want %d", i, authorization, res.StatusCode, want)
		}
	}
}

// TestClientsDoNotShareAConnectionOfHTTP2: on one that several share, those who read slowly
// would hold up the others.
func TestClientsDoNotShareAConnectionOfHTTP2(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	var mu sync.Mutex
	from := map[string]string{}
	all := make(chan struct{})
	task := newWorker(t, 0, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			mu.Lock()
			from[r.RemoteAddr] = r.Proto
			mu.Unlock()
			select {
			case <-all:
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, "ok")
	})
	h.at(task.port, []string{"grpc"}, "proto", "h2")
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			if err := h.post(t.Context(), stranger(), "grpc"); err != nil {
				t.Error(err)
			}
		})
	}
	tooltest.Eventually(t, "three clients have a connection each", func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(from) != 3 {
			return fmt.Errorf("%v", from)
		}
		return nil
	})
	close(all)
	wait.Wait()
}
