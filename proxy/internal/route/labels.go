package route

import "github.com/wagglehq/waggle/pkg/label"

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
		{Name: "serviceHeader", Kind: "list of `Name:Value`", Default: "none", Indexed: true, Doc: "Headers that a request must have, all of them, with these very values."},
		{Name: "userAgent", Kind: "list of texts", Default: "any", Indexed: true, Doc: "The request's `User-Agent` must contain one of these, in any case of letters."},
		{Name: "srcPort", Kind: "port number", Default: "any", Indexed: true, Doc: "The port of the proxy on which a request must come in; it must be among its ports. With `reqMode=tcp` and `sni` it is needed: the proxy listens there, and the operator must publish it."},
		{Name: "reqMode", Kind: "`http`, `tcp` or `sni`", Default: "`http`", Indexed: true,
			Doc: "`tcp` passes on what comes in by `srcPort`: everything, or with a `serviceDomain` the TLS connections that ask for it. `sni` passes TLS on by the server names in `servicePath`. Of connections that fit several names, the whole name comes first, then the longer text, then the older service (`aclName` before all); one that fits none goes to the service without names, and without such a service it is closed. On a port with names the proxy waits up to 5 s for the client to speak."},
		{Name: "serviceGroup", Kind: "text", Default: "none", Indexed: true,
			Doc: "For `tcp` and `sni`: services with the same group share their ports and names, and connections are balanced over the tasks of all."},
		{Name: "balanceGroup", Kind: "`roundrobin`, `leastconn`, `first`, `random` or `source`", Default: "`roundrobin`", Indexed: true,
			Doc: "For `tcp` and `sni`: how connections are balanced. `static-rr` means `roundrobin`."},
		{Name: "timeoutClient", Kind: "seconds or time", Default: "the setting for tunnels", Indexed: true,
			Doc: "For `tcp` and `sni`: how long a client may be silent. It holds for the whole port, so that services that share one must agree."},
		{Name: "checkTcp", Kind: "true or false", Default: "false", Indexed: true, Doc: "For `tcp` and `sni`: tasks to which no connection can be made get none."},
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
		{Name: "reqPathSearchReplace", Kind: "`search,replace[,g]`, several joined by `:`", Default: "none", Indexed: true,
			Doc: "What the regular expression finds first (with `g`: everywhere) in the path is replaced; `\\1` is what its first group found."},
		{Name: "reqPathSearch", Kind: "regular expression", Default: "none", Indexed: true, Doc: "Older form of `reqPathSearchReplace`, with `reqPathReplace`."},
		{Name: "reqPathReplace", Kind: "text", Default: "empty", Indexed: true, Doc: "See `reqPathSearch`."},
		{Name: "addReqHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Doc: "Headers added to requests. Values may hold `%[dst_port] %[src] %[src_port] %[req.hdr(Name)] %[ssl_fc_sni] %[unique-id]`, and end in `if` or `unless` with `{ ssl_fc }`, `{ method NAME }` or `{ path_beg TEXT }`."},
		{Name: "setReqHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Doc: "Headers of requests that are set, whatever they were."},
		{Name: "delReqHeader", Kind: "list of names", Default: "none", Indexed: true, Doc: "Headers taken from requests."},
		{Name: "addResHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Doc: "Headers added to answers."},
		{Name: "setResHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Doc: "Headers of answers that are set, whatever they were."},
		{Name: "delResHeader", Kind: "list of names", Default: "none", Indexed: true, Doc: "Headers taken from answers."},
		{Name: "addHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Doc: "Older word for `addReqHeader`."},
		{Name: "setHeader", Kind: "list of `Name value`", Default: "none", Indexed: true, Doc: "Older word for `setReqHeader`."},
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
// act on. A service that carries one, at any index, is rejected by name: without
// its user list, say, it would be open to everybody.
func Unsupported() []label.Spec {
	names := []string{
		"ignoreAuthorization",
		"templateBePath", "templateFePath",
		"users", "usersPassEncrypted", "usersSecret",
	}
	out := make([]label.Spec, len(names))
	for i, name := range names {
		out[i] = label.Spec{Name: name, Indexed: true, Secret: name == "users"}
	}
	return out
}
