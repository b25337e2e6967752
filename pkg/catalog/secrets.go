package catalog

import "maps"

// Secrets is the value of SecretKey: the texts of one service's labels that its entry
// withholds, by label.
type Secrets map[string]Secret

// Secret is one withheld text.
type Secret struct {
	Text string `json:"text"`
	// Mark is that of Service.Withheld. Only the writer can make it.
	Mark string `json:"mark"`
}

// Split takes the secret labels out of a service and returns them apart. The service
// names each with a mark of its text, so that it changes when a text does. Of secret
// labels on the container, which have no effect, nothing stays but the name.
func Split(svc Service, isSecret func(label string) bool, mark func(text string) string) (Service, Secrets) {
	svc.ContainerLabels, _ = part(svc.ContainerLabels, isSecret, true)
	labels, secret := part(svc.Labels, isSecret, false)
	if len(secret) == 0 {
		return svc, nil
	}
	secrets := make(Secrets, len(secret))
	svc.Labels, svc.Withheld = labels, make(map[string]string, len(secret))
	for label, text := range secret {
		m := mark(text)
		svc.Withheld[label], secrets[label] = m, Secret{Text: text, Mark: m}
	}
	return svc, secrets
}

// part returns the labels that are not secret, and those that are. The first are the
// same map if none is secret, and have the names of the secret ones too if wanted.
func part(labels map[string]string, isSecret func(string) bool, names bool) (open, secret map[string]string) {
	for label, text := range labels {
		if !isSecret(label) || names && text == "" {
			continue
		}
		if secret == nil {
			open, secret = maps.Clone(labels), map[string]string{}
		}
		secret[label] = text
		if names {
			open[label] = ""
		} else {
			delete(open, label)
		}
	}
	if secret == nil {
		return labels, nil
	}
	return open, secret
}

// Merge returns a service with the withheld texts among its labels, and false if one of
// them is missing or is not the one that the service means.
func Merge(svc Service, secrets Secrets) (Service, bool) {
	if len(svc.Withheld) == 0 {
		return svc, true
	}
	labels := make(map[string]string, len(svc.Labels)+len(svc.Withheld))
	maps.Copy(labels, svc.Labels)
	for label, mark := range svc.Withheld {
		secret, ok := secrets[label]
		if !ok || secret.Mark != mark {
			return svc, false
		}
		labels[label] = secret.Text
	}
	svc.Labels, svc.Withheld = labels, nil
	return svc, true
}
