package acme

// Providers are those of DNS that can be named; package dns makes them.
func Providers() []string {
	return []string{"acme-dns", "cloudflare", "digitalocean", "exec", "gandi", "hetzner", "http", "ovh", "rfc2136", "route53"}
}
