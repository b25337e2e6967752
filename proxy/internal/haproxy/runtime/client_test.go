package runtime

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// peer is a socket that reads what a client sends, answers with text, and then
// closes, or hangs until the client has gone.
func peer(t *testing.T, text string, hangs bool) (path string) {
	t.Helper()
	path = filepath.Join(shortDir(t), "s")
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			_, _ = in.ReadString('\n')
			_, _ = conn.Write([]byte(text))
			for hangs {
				if _, err := in.ReadByte(); err != nil {
					break
				}
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return path
}

// shortDir is t.TempDir, which is too long for a socket's path.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hap") //nolint:usetesting // see above.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

const greeting = "\n> \n> "

func TestAPartOfAnAnswerIsNoAnswer(t *testing.T) {
	cases := map[string]struct {
		text string
		want []bool // which of two commands is confirmed
	}{
		"nothing":              {"", []bool{false, false}},
		"a greeting":           {greeting, []bool{false, false}},
		"half a prompt":        {greeting + "\n>", []bool{false, false}},
		"one of two":           {greeting + "\n> ", []bool{true, false}},
		"the second cut":       {greeting + "\n> [6]: New server", []bool{true, false}},
		"the second unended":   {greeting + "\n> [6]: New server registered.\n", []bool{true, false}},
		"both":                 {greeting + "\n> [6]: New server registered.\n\n> ", []bool{true, true}},
		"an error in between":  {greeting + "[3]: No such server.\n\n> [6]: New server registered.\n\n> ", []bool{false, true}},
		"an unknown command":   {greeting + "[6]: Unknown command: 'x'\n\n> [6]: New server registered.\n\n> ", []bool{false, true}},
		"no confirmation":      {greeting + "\n> \n> ", []bool{true, false}},
		"a refused greeting":   {"\n> Permission denied\n\n> \n> \n> ", []bool{false, false}},
		"another kind of peer": {"HTTP/1.1 400 Bad Request\r\n\r\n", []bool{false, false}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			errs := New(peer(t, tc.text, false)).Batch(t.Context(), EnableServer("b", "s"), AddServer("b", "t", netip.MustParseAddrPort("10.0.0.1:80")))
			for i, err := range errs {
				var refusal *Error
				if (err == nil) != tc.want[i] {
					t.Errorf("command %d: got %v, want confirmed %v", i, err, tc.want[i])
				}
				if name == "an unknown command" && i == 0 && !errors.Is(err, ErrUnsupported) {
					t.Errorf("got %v, want ErrUnsupported", err)
				}
				if err != nil && !errors.Is(err, ErrUnanswered) && !errors.As(err, &refusal) {
					t.Errorf("command %d: %v is of no known kind", i, err)
				}
			}
		})
	}
}

func TestAnAnswerThatDoesNotComeEndsWithTheContext(t *testing.T) {
	path := peer(t, greeting+"[6]: New ser", true)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := New(path).Do(ctx, DeleteServer("b", "s")); !errors.Is(err, ErrUnanswered) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("client: got %v", err)
	}
	if _, err := NewMaster(path).ShowProc(ctx); !errors.Is(err, ErrUnanswered) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("master: got %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if err := New(path).Do(ctx, DeleteServer("b", "s")); !errors.Is(err, context.Canceled) {
		t.Errorf("client: got %v", err)
	}
}

func TestTheMastersAnswerIsWholeOrAnError(t *testing.T) {
	for _, text := range []string{"", "Succ", "Unknown command: 'reload'\n", "#<PID> <type>\n7 master 0 [failed: 0] 0d00h00m01s 3.4.7\n"} {
		m := NewMaster(peer(t, text, false))
		if _, err := m.Reload(t.Context()); !errors.Is(err, ErrUnanswered) {
			t.Errorf("reload answered with %q: got %v", text, err)
		}
		if p, err := m.ShowProc(t.Context()); err == nil {
			t.Errorf("show proc answered with %q: got %+v", text, p)
		}
	}
}

// TestAMasterThatDropsUsIsAskedAgain: HAProxy 3.0 does so while it executes itself anew.
func TestAMasterThatDropsUsIsAskedAgain(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for i := 0; ; i++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			if i >= 2 {
				_, _ = bufio.NewReader(conn).ReadString('\n')
				_, _ = conn.Write([]byte("Success=1\n--\n"))
			}
			_ = conn.Close() // with a part unread this resets the connection
		}
	}()
	if out, err := NewMaster(path).Reload(t.Context()); err != nil {
		t.Errorf("got %q, %v", out, err)
	}
}

// TestAReloadEndsWhenTheOldWorkerListensNoMore: the master says that the new worker is ready
// before the old one has heard that it is to stop, and until then that takes requests and commands.
func TestAReloadEndsWhenTheOldWorkerListensNoMore(t *testing.T) {
	const workers = "#<PID> <type> <reloads> <uptime> <version>\n7 master 1 [failed: 0] 0d00h00m01s 3.4.7\n# workers\n42 worker 0 0d00h00m00s 3.4.7\n# old workers\n41 worker 1 0d00h00m01s 3.4.7\n\n"
	path := filepath.Join(shortDir(t), "s")
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info := []string{"Pid: 41\nStopping: 0\n", "Pid: 41\nStopping: 0\n", "Pid: 41\nStopping: 1\n"}
	asked := make(chan int, 1)
	asked <- 0
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			command, _ := bufio.NewReader(conn).ReadString('\n')
			answer := "Success=1\n--\n"
			switch command {
			case "show proc\n":
				answer = workers
			case "@!41 show info\n":
				n := <-asked
				answer = "Name: HAProxy\n" + info[min(n, len(info)-1)] + "Nodename: n1\n\n"
				asked <- n + 1
			}
			_, _ = conn.Write([]byte(answer))
			_ = conn.Close()
		}
	}()
	if out, err := NewMaster(path).Reload(t.Context()); err != nil {
		t.Fatalf("got %q, %v", out, err)
	}
	if n := <-asked; n != len(info) {
		t.Errorf("the old worker was asked %d times, want %d: until it stops", n, len(info))
	}
}

func TestBadArgumentsAreRefusedBeforeAnythingIsSent(t *testing.T) {
	addr := netip.MustParseAddrPort("10.0.0.1:80")
	bad := map[string]Command{
		"a second command in a backend": EnableServer("b;show info", "s"),
		"a line break in a server":      DisableServer("b", "s\nshow info"),
		"a slash in a server":           DeleteServer("b", "a/b"),
		"an empty backend":              AddBackend("", "base"),
		"two words for defaults":        AddBackend("b", "base mode tcp"),
		"no address":                    AddServer("b", "s", netip.AddrPort{}),
		"port 0":                        AddServer("b", "s", netip.MustParseAddrPort("10.0.0.1:0")),
		"two words in an option":        AddServer("b", "s", addr, "weight 10"),
		"a carriage return":             AddServer("b", "s", addr, "check\r"),
		"a NUL":                         AddServer("b", "s", addr, "check\x00"),
		"a payload":                     AddServer("b", "s", addr, "<<END"),
		"a weight out of range":         SetWeight("b", "s", 257),
		"a key with a space":            DelMapEntry("m", "/a b"),
		"an empty key":                  DelMapEntry("m", ""),
		"a key that is a number":        DelMapEntry("m", "#1"),
		"a map that is a number":        DelMapEntry("#1", "/a"),
		"a map that is a version":       DelMapEntry("@1", "/a"),
		"a value with a line break":     AddMapEntries("m", Entry{"/a", "b\n/c d"}),
		"a value of nothing":            SetMapEntry("m", Entry{"/a", ""}),
		"no entries":                    AddMapEntries("m"),
		"more than HAProxy takes":       AddMapEntries("m", Entry{"/a", strings.Repeat("b", 16<<10)}),
	}
	nobody := New(filepath.Join(t.TempDir(), "nobody"))
	for name, command := range bad {
		errs := nobody.Batch(t.Context(), command, EnableServer("b", "s"))
		if !errors.Is(errs[0], ErrArgument) || errors.Is(errs[0], ErrUnanswered) {
			t.Errorf("%s: got %v", name, errs[0])
		}
		if !errors.Is(errs[1], ErrArgument) || !strings.Contains(errs[1].Error(), "not sent") {
			t.Errorf("%s: the good command beside it: got %v", name, errs[1])
		}
	}
}

// split reads a line as HAProxy does: words at white space, commands at
// semicolons, both unless escaped.
func split(line string) [][]string {
	commands, words, word := [][]string{}, []string{}, ""
	flush := func() {
		if word != "" {
			words = append(words, word)
		}
		word = ""
	}
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\' && i+1 < len(line):
			i++
			word += line[i : i+1]
		case line[i] == ';':
			flush()
			commands, words = append(commands, words), nil
		case line[i] <= ' ':
			flush()
		default:
			word += line[i : i+1]
		}
	}
	flush()
	return append(commands, words)
}

func FuzzNoArgumentAddsACommand(f *testing.F) {
	for _, s := range []string{"/a", "a;b", `\`, `\;`, "a\nb", "a b", "<<X", "#1", "@1", "", "\x00", "ü", `a\`, "\u2028", "\xff"} {
		f.Add(s, s)
	}
	addr := netip.MustParseAddrPort("10.0.0.1:80")
	f.Fuzz(func(t *testing.T, a, b string) {
		commands := map[string]struct {
			command Command
			words   []string
		}{
			"set map":    {SetMapEntry("m", Entry{a, b}), []string{"set", "map", "m", a, b}},
			"del map":    {DelMapEntry(a, b), []string{"del", "map", a, b}},
			"add server": {AddServer(a, b, addr, a), []string{"add", "server", a + "/" + b, addr.String(), a}},
			"backend":    {AddBackend(a, b), []string{"add", "backend", a, "from", b}},
		}
		for name, tc := range commands {
			if tc.command.err != nil {
				continue
			}
			var out strings.Builder
			tc.command.write(&out)
			got := split(strings.TrimSuffix(out.String(), "\n"))
			if strings.Count(out.String(), "\n") != 1 || strings.ContainsAny(out.String(), "\r\x00") || len(got) != 1 || strings.Join(got[0], "\x00") != strings.Join(tc.words, "\x00") {
				t.Errorf("%s: %q is read as %q, want %q", name, out.String(), got, tc.words)
			}
		}
		if c := AddMapEntries("m", Entry{a, b}); c.err == nil {
			var out strings.Builder
			c.write(&out)
			lines := strings.Split(out.String(), "\n")
			head, end, _ := strings.Cut(lines[0], " <<")
			if len(lines) != 4 || head != "add map m" || len(end) != 7 || lines[1] != a+" "+b || lines[2] != end || lines[3] != "" {
				t.Errorf("payload: %q", out.String())
			}
		}
	})
}
