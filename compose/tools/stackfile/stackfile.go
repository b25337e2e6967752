// Package stackfile reads stack files as 'docker stack deploy' does: merged, with their
// variables filled in.
package stackfile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/cli/cli/compose/loader"
	"github.com/docker/cli/cli/compose/types"
	"go.yaml.in/yaml/v3"
)

// Load reads the files in their order and merges them; services are sorted by name. A variable that is required and
// not in env, and whatever Docker would refuse, is an error.
func Load(env map[string]string, files ...string) (*types.Config, error) {
	details := types.ConfigDetails{Environment: env}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		content, err := loader.ParseYAML(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		details.WorkingDir = filepath.Dir(files[0])
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: name, Config: content})
	}
	details.Version, _ = details.ConfigFiles[0].Config["version"].(string)
	c, err := loader.Load(details)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(c.Services, func(a, b types.ServiceConfig) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

// Text is what 'docker stack config' prints.
func Text(c *types.Config) (string, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(c); err != nil {
		return "", err
	}
	return b.String(), nil
}

// Variables are what compose/stack.yml requires, as compose/deploy would set it.
func Variables() map[string]string {
	return map[string]string{
		"WAGGLE_IMAGES": "registry.example.com/waggle", "WAGGLE_ALERTMANAGER_HASH": "0123456789ab",
		"WAGGLE_ALERT_WEBHOOK_SECRET":  "waggle_alert_webhook_0123456789ab",
		"WAGGLE_ALERT_PASSWORD_SECRET": "waggle_alert_password", "WAGGLE_ALERT_WEB_SECRET": "waggle_alert_password_web",
	}
}
