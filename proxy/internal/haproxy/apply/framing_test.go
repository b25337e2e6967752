package apply_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// reader is a task at 127.0.0.2 that remembers the requests it reads.
type reader struct {
	port string
	mu   sync.Mutex // the server writes, the test reads
	read []string
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		host := req.Host
		if req.URL.Host != "" {
			host = req.URL.Host // as RFC 9112 wants it
		}
		said := fmt.Sprintf("%s %s%s %q", req.Method, host, req.URL.Path, body)
		for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "X-Kept"} {
			if value := req.Header.Get(name); value != "" {
				said += " " + name + "=" + value
			}
		}
		if err != nil {
			said += " and then " + err.Error()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.read = append(r.read, said)
	}))
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	t.Cleanup(srv.Close)
	r.port = strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	return r
}

// taken are the requests since it was asked last.
func (r *reader) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.read
	r.read = nil
	return out
}

// connected is a connection to a port of HAProxy, for 20 s at most.
func connected(t *testing.T, port int) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// statuses are those of all answers on a connection that gets a text and nothing else, until
// HAProxy closes it.
func statuses(t *testing.T, port int, text string) (out []int) {
	t.Helper()
	conn := connected(t, port)
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				t.Errorf("no end of %q", text)
			}
			return out
		}
		out = append(out, res.StatusCode)
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return out
		}
		_ = res.Body.Close()
	}
}

// TestWhereAMessageEnds: HAProxy and a task never read two requests where the other reads one.
// Behind each of the beginnings comes what a task must not take for a request of its own.
func TestWhereAMessageEnds(t *testing.T) {
	const (
		hidden  = "GET /hidden HTTP/1.1\r\nHost: any\r\n\r\n"
		refused = ""
	)
	length := func(n int) string { return "Content-Length: " + strconv.Itoa(n) }
	whole := length(len(hidden))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	w, task := newWorld(t), newReader(t)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/", "port", task.port)
	w.apply()
	for _, c := range []struct {
		name   string
		header []string
		body   string
		// want is what the task reads, refused that it reads nothing.
		want string
	}{
		{"a length", []string{whole}, hidden, hidden},
		{"chunks", []string{"Transfer-Encoding: chunked"}, chunked, hidden},
		{"a chunk with an extension", []string{"Transfer-Encoding: chunked"}, strings.Replace(chunked, "\r\n", ";a=b\r\n", 1), hidden},
		{"one length twice", []string{whole, whole}, hidden, hidden},
		{"one length twice, in a list", []string{whole + ", " + strconv.Itoa(len(hidden))}, hidden, hidden},
		{"two lengths", []string{whole, length(0)}, hidden, refused},
		{"two lengths, the other way round", []string{length(0), whole}, hidden, refused},
		{"two lengths in a list", []string{whole + ", 0"}, hidden, refused},
		{"a length with a sign", []string{"Content-Length: +" + strconv.Itoa(len(hidden))}, hidden, refused},
		{"a length below nothing", []string{length(-1)}, hidden, refused},
		{"a length of other digits", []string{"Content-Length: 0x24"}, hidden, refused},
		{"an empty length", []string{"Content-Length:"}, hidden, refused},
		{"a length before a colon and a space", []string{"Content-Length : " + strconv.Itoa(len(hidden))}, hidden, refused},
		{"chunks and a length", []string{length(3), "Transfer-Encoding: chunked"}, chunked, hidden},
		{"a length and chunks", []string{"Transfer-Encoding: chunked", length(3)}, chunked, hidden},
		{"chunks on a line of their own", []string{"Transfer-Encoding:", " chunked", length(3)}, chunked, hidden},
		{"chunks behind a tab", []string{"Transfer-Encoding:\tchunked"}, chunked, hidden},
		{"chunks in capitals", []string{"TRANSFER-ENCODING: CHUNKED"}, chunked, hidden},
		{"nearly chunks", []string{"Transfer-Encoding: xchunked"}, chunked, refused},
		{"chunks behind a control character", []string{"Transfer-Encoding: \x0bchunked"}, chunked, refused},
		{"chunks before a colon and a space", []string{"Transfer-Encoding : chunked"}, chunked, refused},
		{"chunks of something else", []string{"Transfer-Encoding: gzip, chunked"}, chunked, refused},
		{"chunks, and then not", []string{"Transfer-Encoding: chunked, identity"}, chunked, refused},
		{"chunks twice", []string{"Transfer-Encoding: chunked", "Transfer-Encoding: chunked"}, chunked, refused},
		{"chunks or not", []string{"Transfer-Encoding: identity", whole}, hidden, refused},
		{"a chunk of no number", []string{"Transfer-Encoding: chunked"}, "zz\r\n" + hidden, refused},
		{"a chunk that ends as a file of Unix", []string{"Transfer-Encoding: chunked"}, strings.Replace(chunked, "\r\n", "\n", 1), refused},
		{"a line that ends with a carriage return alone", []string{"X-A: b\r" + whole}, hidden, refused},
		{"a zero byte", []string{"X-A: b\x00", whole}, hidden, refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			task.taken()
			head := slices.Concat([]string{"POST / HTTP/1.1", "Host: any", "Connection: close"}, c.header)
			answered := statuses(t, w.hap.Port, strings.Join(head, "\r\n")+"\r\n\r\n"+c.body)
			read := task.taken()
			if c.want == refused {
				if slices.ContainsFunc(answered, func(s int) bool { return s < 400 || s > 499 }) {
					t.Errorf("it is answered %v, want a refusal", answered)
				}
				if slices.ContainsFunc(read, func(s string) bool { return !strings.HasSuffix(s, "unexpected EOF") }) {
					t.Errorf("the task reads %q, want nothing", read)
				}
				return
			}
			if want := []string{fmt.Sprintf("POST any/ %q", c.want)}; !slices.Equal(read, want) || !slices.Equal(answered, []int{200}) {
				t.Errorf("it is answered %v, and the task reads %q, want %q", answered, read, want)
			}
		})
	}
}

// TestWhoseHost: however a request says for which host it is, what guards that host holds; a
// task that finds it in the target of the request, as RFC 9112 wants it, finds no other.
func TestWhoseHost(t *testing.T) {
	w, task := newWorld(t), newReader(t)
	w.deploy("web", []string{"127.0.0.2"}, "port", task.port, "serviceDomain.1", "admin.com", "users.1", "u:p", "servicePath.2", "/")
	w.apply()
	const guarded, refused, open = 401, 400, 200
	for _, c := range []struct {
		name   string
		lines  []string
		status int
	}{
		{"plainly", []string{"GET / HTTP/1.1", "Host: admin.com"}, guarded},
		{"in capitals", []string{"GET / HTTP/1.1", "HOST: ADMIN.com"}, guarded},
		{"with a dot at its end", []string{"GET / HTTP/1.1", "Host: admin.com."}, guarded},
		{"with two", []string{"GET / HTTP/1.1", "Host: admin.com.."}, guarded},
		{"with a port", []string{"GET / HTTP/1.1", "Host: admin.com:8080"}, guarded},
		{"with a port and a dot", []string{"GET / HTTP/1.1", "Host: admin.com.:80"}, guarded},
		{"with an empty port", []string{"GET / HTTP/1.1", "Host: admin.com:"}, guarded},
		{"with white space around it", []string{"GET / HTTP/1.1", "Host: \t admin.com \t"}, guarded},
		{"in the target too", []string{"GET http://admin.com/ HTTP/1.1", "Host: admin.com"}, guarded},
		{"in the target with its port", []string{"GET http://admin.com:80/ HTTP/1.1", "Host: admin.com"}, guarded},
		{"in the target without a path", []string{"GET http://admin.com HTTP/1.1", "Host: admin.com"}, guarded},
		{"in a target of another scheme", []string{"GET ftp://admin.com/ HTTP/1.1", "Host: admin.com"}, guarded},
		{"in the target, with a user", []string{"GET http://any@admin.com/ HTTP/1.1", "Host: admin.com"}, guarded},
		{"another one in the target", []string{"GET http://admin.com/ HTTP/1.1", "Host: any.com"}, refused},
		{"another one as its header", []string{"GET http://any.com/ HTTP/1.1", "Host: admin.com"}, refused},
		{"in the target, beside an empty header", []string{"GET http://admin.com/ HTTP/1.1", "Host:"}, refused},
		{"in the target alone", []string{"GET http://admin.com/ HTTP/1.1"}, refused},
		{"in the target alone, of HTTP/1.0", []string{"GET http://admin.com/ HTTP/1.0"}, refused},
		{"in the target alone, in capitals", []string{"GET HTTP://admin.com/ HTTP/1.1"}, refused},
		{"in two headers", []string{"GET / HTTP/1.1", "Host: any.com", "Host: admin.com"}, refused},
		{"in two headers, the other way round", []string{"GET / HTTP/1.1", "Host: admin.com", "Host: any.com"}, refused},
		{"twice", []string{"GET / HTTP/1.1", "Host: admin.com", "Host: admin.com"}, guarded},
		{"in a list", []string{"GET / HTTP/1.1", "Host: any.com,admin.com"}, refused},
		{"in a list, the other way round", []string{"GET / HTTP/1.1", "Host: admin.com,any.com"}, refused},
		{"with a user", []string{"GET / HTTP/1.1", "Host: any@admin.com"}, refused},
		{"with a path", []string{"GET / HTTP/1.1", "Host: any.com/admin.com"}, refused},
		{"with a space before its colon", []string{"GET / HTTP/1.1", "Host : admin.com"}, refused},
		{"on the next line", []string{"GET / HTTP/1.1", "Host:", " admin.com"}, guarded},
		{"for a tunnel", []string{"CONNECT admin.com:80 HTTP/1.1", "Host: any.com"}, refused},
		{"another", []string{"GET / HTTP/1.1", "Host: any.com"}, open},
		{"an address of IPv6", []string{"GET / HTTP/1.1", "Host: [::1]:80"}, open},
		{"none", []string{"GET / HTTP/1.0"}, open},
	} {
		t.Run(c.name, func(t *testing.T) {
			task.taken()
			res := spoken(t, w.hap.Port, slices.Concat(c.lines, []string{"Connection: close"})...)
			read := task.taken()
			// The task would refuse some of these requests too, but without this header.
			byHAProxy := res.Header.Get("Cache-Control") == "no-cache"
			if res.StatusCode != c.status || byHAProxy == (c.status == open) || len(read) > 0 != (c.status == open) || strings.Contains(fmt.Sprint(read), "admin.com") {
				t.Errorf("it is answered %d, by HAProxy: %t, and the task reads %q; want %d", res.StatusCode, byHAProxy, read, c.status)
			}
		})
	}
}

// TestWhoseHostByHTTP2: what HTTP/2 says twice is refused, or one of it counts for HAProxy and for
// the task alike.
func TestWhoseHostByHTTP2(t *testing.T) {
	w, task := newWorld(t), newReader(t)
	w.deploy("web", []string{"127.0.0.2"}, "port", task.port, "serviceDomain.1", "admin.com", "users.1", "u:p", "servicePath.2", "/")
	w.apply()
	const guarded, ended, open = "401", "", "200"
	for _, c := range []struct {
		name   string
		fields []string
		status string
	}{
		{"plainly", []string{":authority", "admin.com"}, guarded},
		{"in capitals", []string{":authority", "ADMIN.com"}, guarded},
		{"another one as its header", []string{":authority", "admin.com", "host", "any.com"}, guarded},
		{"as its header alone", []string{"host", "admin.com"}, guarded},
		{"as its header beside another", []string{":authority", "any.com", "host", "admin.com"}, open},
		{"in two headers", []string{"host", "any.com", "host", "admin.com"}, open},
		{"in a list", []string{":authority", "any.com,admin.com"}, ended},
		{"with a user", []string{":authority", "any@admin.com"}, ended},
		{"twice", []string{":authority", "any.com", ":authority", "admin.com"}, ended},
		{"beside a length that is none", []string{":authority", "any.com", "content-length", "5"}, ended},
		{"beside chunks", []string{":authority", "any.com", "transfer-encoding", "chunked"}, ended},
		{"beside a header of the connection", []string{":authority", "any.com", "connection", "x-a"}, ended},
		{"with a line that ends in a value", []string{":authority", "any.com", "x-a", "b\r\nHost: admin.com"}, ended},
		{"another", []string{":authority", "any.com"}, open},
	} {
		t.Run(c.name, func(t *testing.T) {
			task.taken()
			status := askedByHTTP2(t, w.hap.Port, append([]string{":method", "GET", ":scheme", "http", ":path", "/"}, c.fields...)...)
			var want []string
			if c.status == open {
				want = []string{`GET any.com/ ""`}
			}
			if read := task.taken(); status != c.status || !slices.Equal(read, want) {
				t.Errorf("it is answered %q, and the task reads %q; want %q and %q", status, read, c.status, want)
			}
		})
	}
}

// askedByHTTP2 sends a request of these fields and returns its status; empty if HAProxy
// ends the stream or the connection.
func askedByHTTP2(t *testing.T, port int, fields ...string) string {
	t.Helper()
	conn := connected(t, port)
	defer func() { _ = conn.Close() }()
	var block bytes.Buffer
	for enc := hpack.NewEncoder(&block); len(fields) > 1; fields = fields[2:] {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[0], Value: fields[1]})
	}
	_, err := io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	err = errors.Join(err, framer.WriteSettings(), framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true,
	}))
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			t.Fatal(err)
		}
		if err != nil {
			return ""
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ""
		}
	}
}

// TestWhatBelongsToTheConnection ends at HAProxy: a client cannot have the next proxy drop a
// header that this one sets by naming it in Connection (RFC 9110, 7.6.1), nor change to another
// protocol than a WebSocket's kind.
func TestWhatBelongsToTheConnection(t *testing.T) {
	w, task := newWorld(t), newReader(t)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/", "port", task.port, "setReqHeader", "X-Kept yes")
	w.deploy("own", []string{"127.0.0.2"}, "serviceDomain", "own", "port", task.port, "setReqHeader", "X-Kept yes")
	w.apply()
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"nothing", nil, ""},
		{"an end", []string{"Connection: close"}, ""},
		{"a name", []string{"Connection: close, X-Kept"}, ""},
		{"names that the proxy sets", []string{"Connection: X-Forwarded-For", "Connection: X-Forwarded-Proto, X-Kept"}, ""},
		{"the host", []string{"Connection: Host"}, ""},
		{"how long it may be idle", []string{"Keep-Alive: timeout=60, max=9"}, ""},
		{"how long it may be idle, by name", []string{"Connection: Keep-Alive", "Keep-Alive: timeout=60"}, ""},
		{"a connection to a proxy", []string{"Proxy-Connection: keep-alive", "Keep-Alive: 300"}, ""},
		{"another protocol", []string{"Connection: Upgrade, X-Kept", "Upgrade: any/1"}, " Connection=upgrade Upgrade=any/1"},
		{"HTTP/2 by the way", []string{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, host := range []string{"any", "own"} {
				task.taken()
				status := spoken(t, w.hap.Port, slices.Concat([]string{"GET / HTTP/1.1", "Host: " + host}, c.lines)...).StatusCode
				if read, want := task.taken(), []string{"GET " + host + `/ ""` + c.want + " X-Kept=yes"}; status != 200 || !slices.Equal(read, want) {
					t.Errorf("%s: it is answered %d, and the task reads %q, want %q", host, status, read, want)
				}
			}
		})
	}
}
