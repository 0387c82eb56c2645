package yamlfile

// Schema is a JSON schema, draft 2020-12. encoding/json writes its keys sorted.
type Schema map[string]any

// word is an entry of a command line: a number stands for its own digits.
var word = Schema{"type": []string{"string", "number", "boolean"}}

// Schema returns the JSON schema of overland.yaml, made from the same table as the parser. What a
// schema cannot say (an unknown artifact, an unknown variable) only the parser refuses.
func (f Format) Schema() []byte { return Document("overland.yaml", f.appKeys()) }

// Object returns the schema of a mapping with keys. Keys without a
// Doc are known to the parser only.
func Object[T any](keys []Key[T]) Schema {
	properties, required := Schema{}, []string{}
	for _, k := range keys {
		if k.Doc == "" {
			continue
		}
		p := Schema{"description": k.Doc}
		for name, v := range k.Schema {
			p[name] = v
		}
		properties[k.Name] = p
		if k.Required {
			required = append(required, k.Name)
		}
	}
	s := Schema{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// named returns the schema of a mapping from names to of, with at least n entries.
func named(of Schema, n int) Schema {
	s := Schema{"type": "object", "propertyNames": Schema{"pattern": namePattern}, "additionalProperties": of}
	if n > 0 {
		s["minProperties"] = n
	}
	return s
}

func list(of Schema) Schema { return Schema{"type": "array", "items": of} }
