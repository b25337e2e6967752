package route

import (
	"strconv"

	"github.com/wagglehq/waggle/pkg/label"
)

// DefaultRetries is how often a request is tried again unless a label says otherwise.
// Each try goes to another task, and one at a dead node takes 1.2 s, so that all together
// they last until DNS drops the node's tasks, after some six seconds.
const DefaultRetries = 5

// Table returns the labels that make routes.
func Table() []label.Spec {
	return []label.Spec{
		{Name: "servicePath", Kind: "list of paths", Default: "`/` if there is a `serviceDomain`", Indexed: true,
			Doc: "Requests whose path begins with one of these texts are sent to the service. The match is textual: `/api` matches `/apixyz` too. With `reqMode=sni`: the server names of the service, compared as `pathType` says."},
		{Name: "servicePathExclude", Kind: "list of paths", Default: "none", Indexed: true,
			Doc: "Requests whose path fits one of these are not sent to the service. Compared as `pathType` says."},
		{Name: "pathType", Kind: "`path`, `path_beg`, `path_dir`, `path_end`, `path_reg` or `path_sub`", Default: "`path_beg`", Indexed: true,
			Doc: "How paths are compared: whole, by their beginning, by whole segments, by their end, with a regular expression, or anywhere. With `reqMode=sni`: `req_ssl_sni`, or with a way to compare server names such as `req_ssl_sni -m end`, of `str` (default), `beg`, `dom`, `end`, `reg` and `sub`; always in any case of letters."},
		{Name: "serviceDomain", Kind: "list of host names", Default: "any host", Indexed: true,
			Doc: "Hosts of the service, without port. `*.acme.com` matches every name below `acme.com`, but not `acme.com` itself. With `reqMode=tcp`: the server names that TLS clients ask for; they are passed through without decryption. With `reqMode=sni` only read without a `servicePath`."},
		{Name: "serviceDomainAlgo", Kind: "`hdr(host)`, `hdr_beg(host)`, `hdr_dom(host)`, `hdr_end(host)`, `hdr_reg(host)` or `hdr_sub(host)`", Default: "`hdr(host)`, or the setting", Indexed: true,
			Doc: "How domains without a wildcard are compared: whole (quickest), by their beginning, by whole labels, by their end, with a regular expression, or anywhere. With `reqMode=tcp`: `req_ssl_sni` or `req.ssl_sni` as in `pathType`, which is the default there."},
		{Name: "serviceDomainMatchAll", Kind: "true or false", Default: "false", Indexed: true, Doc: "Older word for `serviceDomainAlgo=hdr_dom(host)`."},
		{Name: "serviceHeader", Kind: "list of `Name:Value`", Default: "none", Indexed: true, Secret: true, Doc: "Headers that a request must have, all of them, with these very values."},
		{Name: "userAgent", Kind: "list of texts", Default: "any", Indexed: true, Doc: "The request's `User-Agent` must contain one of these, in any case of letters."},
		{Name: "srcPort", Kind: "port number", Default: "any", Indexed: true, Doc: "The port of the proxy on which a request must come in; it must be among its ports. With `reqMode=tcp` and `sni` it is needed: the proxy listens there, and the operator must publish it."},
		{Name: "reqMode", Kind: "`http`, `tcp` or `sni`", Default: "`http`", Indexed: true,
			Doc: "`tcp` passes on what comes in by `srcPort`: everything, or with a `serviceDomain` the TLS connections that ask for it. `sni` passes TLS on by the server names in `servicePath`. Of connections that fit several names, the whole name comes first, then the longer text, then the older service (`aclName` before all); one that fits none goes to the service without names, and without such a service it is closed. On a port with names the proxy waits up to 5 s for the client to speak."},
		{Name: "serviceGroup", Kind: "text", Default: "none", Indexed: true,
			Doc: "Services with the same group share what leads to them instead of claiming it from each other: with HTTP their hosts and paths, with `tcp` and `sni` their ports and names. All routes of all members lead to the tasks of all, who must agree on what is done with requests; who says something else than the older member is rejected. See `weight`."},
		{Name: "weight", Kind: "0 to 100", Default: "100", Indexed: true,
			Doc: "The share of this service in its `serviceGroup`, however many tasks it has, as against the weights of the others: 90 and 10, or 1 and 1. 0 gets no new clients. A service without tasks leaves its share to the others. Shares are made up of whole weights of tasks up to 256, so that they are met within a hundredth or so, and a service whose tasks would get less than a 256th of those of another gets that. If no member says a weight, all tasks count alike."},
		{Name: "balance", Kind: "`roundrobin`, `leastconn`, `random`, `source`, `uri`, `hdr(Name)` or `first`", Default: "`roundrobin`", Indexed: true,
			Doc: "How requests are balanced over tasks: in turn, to the one with the fewest connections, at random, by the client's address, by the path, by a header, or to the first that has room by `maxConn`. By address, path and header with a consistent hash, so that a change of the tasks moves few of them. Not `uri` and `hdr(Name)` with `reqMode=tcp` and `sni`."},
		{Name: "balanceGroup", Kind: "`roundrobin`, `leastconn`, `first`, `random` or `source`", Default: "`roundrobin`", Indexed: true,
			Doc: "Older word for `balance` with `reqMode=tcp` and `sni`. `static-rr` means `roundrobin`."},
		{Name: "checkPath", Kind: "path", Default: "no checks", Indexed: true,
			Doc: "HAProxy asks each task for this path (`GET`, HTTP/1.1) now and then, and gives no requests to those that do not answer well. A new task counts as well until the first check failed."},
		{Name: "checkHost", Kind: "host name", Default: "`localhost`", Indexed: true, Doc: "The `Host` of requests for `checkPath`."},
		{Name: "checkStatus", Kind: "status codes such as `200-399` or `200,204`", Default: "`200-399`", Indexed: true, Doc: "The answers to `checkPath` that are good."},
		{Name: "checkInterval", Kind: "seconds or time", Default: "2 s", Indexed: true, Doc: "The time between two checks of a task, by `checkPath` or `checkTcp`."},
		{Name: "checkTimeout", Kind: "seconds or time", Default: "`checkInterval`", Indexed: true, Doc: "How long a check may take."},
		{Name: "checkFall", Kind: "a number", Default: "3", Indexed: true, Doc: "How many checks in a row must fail until a task gets no requests."},
		{Name: "checkRise", Kind: "a number", Default: "2", Indexed: true, Doc: "How many checks in a row must be good until it gets requests again."},
		{Name: "slowStart", Kind: "seconds or time", Default: "none", Indexed: true,
			Doc: "How long a task that is new, or that comes back, takes until it gets its whole share. It does not hold for tasks that are there when HAProxy starts or reloads."},
		{Name: "maxConn", Kind: "a number", Default: "any number", Indexed: true,
			Doc: "How many connections a task gets from this proxy at a time. Further requests wait for one to end, up to `timeoutQueue`. Replicas of the proxy count apart."},
		{Name: "maxQueue", Kind: "a number", Default: "any number", Indexed: true, Doc: "How many requests wait for one task, with `maxConn`; further ones go to another task."},
		{Name: "timeoutQueue", Kind: "seconds or time", Default: "the setting", Indexed: true, Doc: "How long a request waits for a task, with `maxConn`; then it is answered 503."},
		{Name: "timeoutConnect", Kind: "seconds or time", Default: "the setting", Indexed: true, Doc: "How long a connection to a task may take."},
		{Name: "retries", Kind: "0 to 20", Default: strconv.Itoa(DefaultRetries), Indexed: true, Doc: "How often a request is tried again."},
		{Name: "retryOn", Kind: "list of `conn-failure`, `empty-response`, `junk-response`, `response-timeout`, `0rtt-rejected`, `all-retryable-errors`, `none` and the statuses 401, 403, 404, 408, 425, 429 and 500 to 504", Default: "`conn-failure,empty-response`", Indexed: true,
			Doc: "After which failures a request is tried again. Only `GET`, `HEAD` and `OPTIONS` are, once a task may have worked on them; others only if no connection came about."},
		{Name: "redispatch", Kind: "true or false", Default: "true", Indexed: true, Doc: "Whether a request that is tried again may go to another task, even if a cookie pins it to one."},
		{Name: "httpReuse", Kind: "`never`, `safe`, `aggressive` or `always`", Default: "the setting", Indexed: true,
			Doc: "Whose connections to tasks may be used for requests of other clients. A task may close a connection that was idle just when a request is sent on it: `safe` sends the first request of a client only on a new connection, or one that has proved itself; with `always` it can fail on such a one. HAProxy then tries `GET`, `HEAD` and `OPTIONS` again (`retryOn`); another request, such as a `POST`, is never sent twice: the client's connection is closed without an answer, or it is answered 502. Choose `always` where tasks keep idle connections longer than the proxy."},
		{Name: "timeoutClient", Kind: "seconds or time", Default: "the setting for tunnels", Indexed: true,
			Doc: "For `tcp` and `sni`: how long a client may be silent. It holds for the whole port, so that services that share one must agree."},
		{Name: "checkTcp", Kind: "true or false", Default: "false", Indexed: true, Doc: "For `tcp` and `sni`: tasks to which no connection can be made get none. How often is looked is said by `checkInterval` and the like."},
		{Name: "clitcpka", Kind: "true or false", Default: "false", Indexed: true, Doc: "For `tcp` and `sni`: the kernel looks whether silent clients are still there; for the whole port if one service asks for it."},
		{Name: "port", Kind: "port number", Default: "none, needed", Indexed: true,
			Doc: "The port on which the service's tasks listen."},
		{Name: "httpsPort", Kind: "port number", Default: "none", Indexed: true, Doc: "The service's port for requests that come in by `srcHttpsPort`; those by port 80 (or `srcPort`) go to `port`."},
		{Name: "srcHttpsPort", Kind: "port number", Default: "443", Indexed: true, Doc: "See `httpsPort`."},
		{Name: "outboundHostname", Kind: "host name or address", Default: "the service's tasks", Indexed: true, Doc: "Where requests go instead of to the tasks of the service."},
		{Name: "isDefaultBackend", Kind: "true or false", Default: "false", Indexed: true, Doc: "The service gets the requests that fit no route."},
		{Name: "redirectFromDomain", Kind: "list of host names", Default: "none", Indexed: true,
			Doc: "Requests for these hosts are redirected (301) to the first `serviceDomain`, with path and query and the scheme they came by."},
		{Name: "proxyInstanceName", Kind: "text", Default: "`docker-flow`", Doc: "The proxy that is meant, if several share a swarm and filter by their names."},
		{Name: "aclName", Kind: "text", Default: "none",
			Doc: "Explicit order: routes of services with an `aclName` are tried before all others, in the order of these names, except those whose path is `/`."},
		{Name: "discoveryType", Kind: "`tasks` or `vip`", Default: "`tasks`",
			Doc: "`tasks` balances over the addresses of the running tasks, `vip` leaves that to Swarm's virtual IP."},
		{Name: "checkResolvers", Kind: "true or false", Default: "true", Doc: "Accepted and always so: names are resolved while the proxy runs, and one that does not resolve harms nobody."},
		{Name: "httpsOnly", Kind: "true or false", Default: "false", Indexed: true, Doc: "Requests without TLS are redirected to https."},
		{Name: "httpsRedirectCode", Kind: "`301`, `302`, `303`, `307` or `308`", Default: "`302`", Indexed: true, Doc: "The status of redirects to https."},
		{Name: "redirectWhenHttpProto", Kind: "true or false", Default: "false", Indexed: true, Doc: "Requests that a trusted proxy before this one took without TLS are redirected to https."},
		{Name: "redirectUnlessHttpsProto", Kind: "true or false", Default: "false", Indexed: true, Doc: "Requests that came to the client's nearest trusted proxy without TLS are redirected to https."},
		{Name: "denyHttp", Kind: "true or false", Default: "false", Indexed: true, Doc: "Requests without TLS are answered 403."},
		{Name: "verifyClientSsl", Kind: "true or false", Default: "false", Indexed: true, Doc: "Requests without a client certificate of the operator's authority are answered 403."},
		{Name: "allowedMethods", Kind: "list of methods", Default: "all", Indexed: true, Doc: "Other methods are answered 403. `HEAD` is not implied by `GET`."},
		{Name: "deniedMethods", Kind: "list of methods", Default: "none", Indexed: true, Doc: "These methods are answered 403."},
		{Name: "users", Kind: "list of `name:password`, or names alone", Default: "the setting", Indexed: true, Secret: true,
			Doc: "Who gets in, by basic authentication with the realm `<service>Realm`; others are answered 401, and the task does not see the `Authorization`. It replaces the setting `USERS` for this service. A line begins a new entry too. A name alone takes its password from `usersSecret`, else from `USERS`; if no password is found for anybody, nobody gets in."},
		{Name: "usersSecret", Kind: "end of a secret's name", Default: "none", Indexed: true,
			Doc: "The secret `dfp_users_<text>` holds entries of `users`. With `users` beside it only the names there get in. Without the secret nobody does."},
		{Name: "usersPassEncrypted", Kind: "true or false", Default: "false", Indexed: true, Doc: "The passwords of `users` and `usersSecret` are hashes of crypt(3), such as `mkpasswd -m sha-512` makes."},
		{Name: "ignoreAuthorization", Kind: "true or false", Default: "false", Indexed: true, Doc: "Everybody gets in here, whatever `users`, `forwardAuth` and the setting `USERS` say."},
		{Name: "allowedAddresses", Kind: "list of addresses and networks", Default: "all", Indexed: true,
			Doc: "Clients with other addresses are answered 403. The client's address is that of the connection, or behind trusted proxies the last one in `X-Forwarded-For` that is not a trusted proxy's (at most four in a row). Changes need no reload."},
		{Name: "deniedAddresses", Kind: "list of addresses and networks", Default: "none", Indexed: true, Doc: "Clients with these addresses are answered 403, also if they are allowed. See `allowedAddresses`."},
		{Name: "rateLimit", Kind: "requests and time, such as `100/10s` or `20/1m`", Default: "none", Indexed: true,
			Doc: "How many requests a client may make in the time, over all paths of this index; more are answered 429, with `Retry-After`. A client is an address as for `allowedAddresses`, with IPv6 the network of 64 bits. Each replica of the proxy counts for itself."},
		{Name: "corsOrigins", Kind: "list of origins, or `*`", Default: "none", Indexed: true,
			Doc: "Pages of these origins, such as `https://www.acme.com`, may use the service. Preflight requests are answered by the proxy (204), and answers get the headers of CORS, whatever the task said about it."},
		{Name: "corsMethods", Kind: "list of methods", Default: "`GET, HEAD, POST, PUT, PATCH, DELETE`", Indexed: true, Doc: "Methods that those pages may use."},
		{Name: "corsHeaders", Kind: "list of names", Default: "none", Indexed: true, Doc: "Headers that those pages may send besides the harmless ones."},
		{Name: "corsCredentials", Kind: "true or false", Default: "false", Indexed: true, Doc: "Those pages may send cookies and the like; not with the origin `*`."},
		{Name: "corsMaxAge", Kind: "seconds or time", Default: "the browser's", Indexed: true, Doc: "How long a browser may remember the answer to a preflight request."},
		{Name: "securityHeaders", Kind: "true or false", Default: "false", Indexed: true,
			Doc: "Answers that lack them get `X-Content-Type-Options: nosniff`, `X-Frame-Options: SAMEORIGIN`, `Referrer-Policy: strict-origin-when-cross-origin`, and with TLS `Strict-Transport-Security: max-age=31536000`."},
		{Name: "forwardAuth", Kind: "URL such as `http://auth:4181/verify`", Default: "none", Indexed: true,
			Doc: "This service decides about each request. It is asked by `GET` with the headers of the request and `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For`. Its 2xx lets the request in; 401, 403 and redirects go to the client, with `Location`, `Set-Cookie` and `WWW-Authenticate`; everything else, and no answer within 5 s, is 503."},
		{Name: "forwardAuthHeaders", Kind: "list of names", Default: "none", Indexed: true, Doc: "Headers of the answer of `forwardAuth` that the request gets; clients cannot send them."},
		{Name: "sendProxy", Kind: "`v1` or `v2`", Default: "none", Indexed: true, Doc: "Connections to tasks begin with a header of the PROXY protocol, which tells the client's address; also with `reqMode=tcp` and `sni`."},
		{Name: "reqPathSearchReplace", Kind: "`search,replace[,g]`, several joined by `:`", Default: "none", Indexed: true,
			Doc: "What the regular expression finds first (with `g`: everywhere) in the path is replaced; `\\1` is what its first group found."},
		{Name: "reqPathSearch", Kind: "regular expression", Default: "none", Indexed: true, Doc: "Older form of `reqPathSearchReplace`, with `reqPathReplace`."},
		{Name: "reqPathReplace", Kind: "text", Default: "empty", Indexed: true, Doc: "See `reqPathSearch`."},
		{Name: "addReqHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Secret: true, Doc: "Headers added to requests. Values may hold `%[dst_port] %[src] %[src_port] %[req.hdr(Name)] %[ssl_fc_sni] %[unique-id]`, and end in `if` or `unless` with `{ ssl_fc }`, `{ method NAME }` or `{ path_beg TEXT }`."},
		{Name: "setReqHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Secret: true, Doc: "Headers of requests that are set, whatever they were."},
		{Name: "delReqHeader", Kind: "list of names", Default: "none", Indexed: true, Doc: "Headers taken from requests."},
		{Name: "addResHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Doc: "Headers added to answers."},
		{Name: "setResHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Doc: "Headers of answers that are set, whatever they were."},
		{Name: "delResHeader", Kind: "list of names", Default: "none", Indexed: true, Doc: "Headers taken from answers."},
		{Name: "addHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Secret: true, Doc: "Older word for `addReqHeader`."},
		{Name: "setHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Secret: true, Doc: "Older word for `setReqHeader`."},
		{Name: "timeoutServer", Kind: "seconds or time", Default: "the setting", Indexed: true, Doc: "How long a task may take to answer. With `reqMode=tcp` and `sni`: how long it may be silent, the setting for tunnels by default."},
		{Name: "timeoutTunnel", Kind: "seconds or time", Default: "the setting", Indexed: true, Doc: "How long a WebSocket may be silent. With `reqMode=tcp` and `sni`: how long both sides may be, instead of `timeoutClient` and `timeoutServer`."},
		{Name: "connectionMode", Kind: "`http-keep-alive`, `http-server-close` or `httpclose`", Default: "`http-keep-alive`", Indexed: true, Doc: "Whether connections to tasks are kept."},
		{Name: "compressionAlgo", Kind: "`gzip`, `deflate`, `raw-deflate` or `identity`", Default: "none", Indexed: true, Doc: "Compresses the answers of this service for clients that accept it."},
		{Name: "compressionType", Kind: "media types, separated by spaces", Default: "all", Indexed: true, Doc: "Which answers are compressed."},
		{Name: "sessionType", Kind: "`sticky-server`", Default: "none", Indexed: true, Doc: "A cookie named after the service pins a client to a task."},
		{Name: "sslVerifyNone", Kind: "true or false", Default: "false", Indexed: true, Doc: "Tasks are spoken to by TLS, and need not prove who they are."},
		{Name: "sslCa", Kind: "name of a secret, or `@system-ca`", Default: "none", Indexed: true, Doc: "Tasks are spoken to by TLS and must prove themselves by this authority."},
		{Name: "sslServerName", Kind: "host name", Default: "none", Indexed: true, Doc: "Tasks are spoken to by TLS and must prove that they are this host."},
		{Name: certificateLabel, Kind: "PEM, its lines ending in `\\n`", Default: "none", Secret: true,
			Doc: "A certificate with its chain and its key, in any order, for the service's hosts. It serves the names in it that no certificate of the operator has and no other service is routed by, and goes away with the service. Whoever may look at the service can read the key: a secret or an upload keeps it."},
		{Name: "backendExtra", Kind: "one line of HAProxy's language", Default: "none", Indexed: true, Doc: "Only where the operator allows raw text by `-allow-raw`."},
	}
}

// Unsupported returns the labels of Docker Flow Proxy that this version does not
// act on. A service that carries one, at any index, is rejected by name.
func Unsupported() []label.Spec {
	names := []string{
		"templateBePath", "templateFePath",
	}
	out := make([]label.Spec, len(names))
	for i, name := range names {
		out[i] = label.Spec{Name: name, Indexed: true}
	}
	return out
}
