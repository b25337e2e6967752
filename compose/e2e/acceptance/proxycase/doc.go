// Package proxycase is the form of the proxy's black-box cases: services with labels go
// in, requests are made, and what comes back is compared.
// The process of a case is the swarm, the upstreams and the client, and starts the proxy
// as its container would. Kind P means that Docker Flow Proxy does it too, B that it does
// not; original says what it does.
//
// # Cases
//
// Beside what all cases have, a case has
//
//   - env, settings of the proxy by their variables; trust, the addresses whose
//     X-Forwarded-* headers are kept; raw, true if the operator admits raw text;
//   - secrets and certs, what lies in the folders of secrets and of certificates, by
//     file name: "@" and a name is one of the files below, in certs the name alone
//     too; everything else is the content itself;
//   - hosts, lines with an address and names that the DNS knows from the start;
//   - initial, services that are there before the proxy, each [name, labels].
//
// # Steps
//
//	["deploy", name, labels]      it has these labels (without com.df.), and they are in force;
//	                              "@" and the name of a file below is what that contains
//	["deploy_bad", name, labels]  they are rejected, with a reason
//	["deploy_any", name, labels]  either
//	["remove", name]
//	["req", request, answer]      see below
//	["tcp", port, ids]            nine connections are greeted by exactly these
//	["sticky", path, cookie]      the cookie pins one task; without it both are reached
//	["shares", path, n, shares]   of n requests each upstream gets so many percent, give or take 2
//	["together", path, statuses]  requests at the same time, and so many answers with each status
//	["proxyproto", path, ip]      a PROXY protocol header's address is in X-Forwarded-For
//	["ws", path]                  a WebSocket outlives 4 s of silence and a change of another service
//	["inflight", path, name]      a slow answer arrives although that service changes
//	["putcert", name, file, status], ["putcert_bad", name, text]
//	["config_lacks", text]        the text is in no file of the configuration, and nothing runs by it
//	["killproxy"]                 all processes of HAProxy are killed
//	["hosts", lines]              the DNS learns names; an empty text makes it forget those learned
//	["sleep", seconds]            at most so long until the next step passes, if it can be tried again
//
// A request has m (method), u (path), host, s (http or https), sni, port, hd
// (headers), auth ("user:password") and cc (the client's certificate); all but u may
// be left out. An answer has st (status, or tls_fail for no TLS connection, or
// refused_or_not200) and, as far as it matters, svc (upstream), path and up (path and
// headers that the upstream saw), loc (Location), rh (headers of the response) and
// cert (common name of the certificate). A header that is null must be absent.
//
// # Upstreams
//
//	svc-a     127.1.0.1  8080 a, 8081 a2, 8443 tlsa (TLS, a.example.com), 6379 ra (greets)
//	  tasks   127.1.0.11 the same with at1 and rt1, 127.1.0.12 with at2 and rt2
//	svc-b     127.1.0.2  8080 b, 8443 tlsb (TLS, b.example.com), 6379 rb (greets)
//	svc-c     127.1.0.3  8080 c, 9000 WebSocket; ext.host is the same
//
// Where a or ra is wanted, a task of svc-a will do. The DNS knows each name N also as
// tasks.N, and no other names. HTTP upstreams describe what they saw as JSON, in
// more than 5 kB if the path contains big, and N seconds late at /slow?=N; their
// response headers are X-Backend with the id, and X-Secret.
//
// Files: a.example.com, b.example.com, cl (a client, of the same CA), rogue (of
// another), ca and rogue-ca; .crt is the certificate, .key its key, .pem both.
package proxycase
