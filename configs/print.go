package configs

import (
	_ "embed"
	"encoding/json"
	"runtime"
	"strings"

	"gopkg.in/yaml.v3"
)

//go:embed meantime.yaml
var reference string

// Reference returns the commented configuration file: every key with its default, range and meaning. Read by
// Parse as it stands, it is Default.
func Reference() string {
	text := reference
	for key, path := range map[string]func(goos string) string{"state_dir": defaultStateDir, "key_file": defaultKeyFile} {
		text = strings.Replace(text, "#"+key+": "+path("linux")+"\n", "#"+key+": "+path(runtime.GOOS)+"\n", 1)
	}
	return text
}

// YAML writes every key with its value. Parse reads it back to the same Config.
func (c Config) YAML() string {
	root := &yaml.Node{Kind: yaml.MappingNode}
	sections := map[string]*yaml.Node{"": root}
	for _, f := range fields {
		section, name, nested := strings.Cut(f.key, ".")
		if !nested {
			section, name = "", f.key
		}
		if sections[section] == nil {
			sections[section] = &yaml.Node{Kind: yaml.MappingNode}
			root.Content = append(root.Content, word(text, section), sections[section])
		}
		sections[section].Content = append(sections[section].Content, word(text, name), f.node(&c))
	}
	var out strings.Builder
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		panic("configs: " + err.Error()) // mappings, lists and words only: there is nothing to fail
	}
	return out.String()
}

// node returns the value of a field as YAML.
func (f *field) node(c *Config) *yaml.Node {
	values := f.get(c)
	if !f.list {
		return word(f.kind, values[0])
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, value := range values {
		list.Content = append(list.Content, word(f.kind, value))
	}
	return list
}

func word(k kind, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: string(k), Value: value}
}

// MarshalJSON writes the same tree as YAML. Durations and rates are strings with their units.
func (c Config) MarshalJSON() ([]byte, error) {
	root := map[string]any{}
	for _, f := range fields {
		values := f.get(&c)
		var value any = append([]string{}, values...)
		switch {
		case f.list:
		case f.kind == text:
			value = values[0]
		default:
			value = json.RawMessage(values[0]) // numbers and booleans look alike in both
		}
		section, name, nested := strings.Cut(f.key, ".")
		if !nested {
			root[f.key] = value
			continue
		}
		if root[section] == nil {
			root[section] = map[string]any{}
		}
		root[section].(map[string]any)[name] = value
	}
	return json.Marshal(root)
}
