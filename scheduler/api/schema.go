package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

// aliasTypes teaches the schema registry the types that are written otherwise
// than their Go kind says.
func aliasTypes(r huma.Registry) {
	for t, alias := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[models.Priority]():   reflect.TypeFor[prioritySchema](),
		reflect.TypeFor[models.Duration]():   reflect.TypeFor[durationSchema](),
		reflect.TypeFor[models.Bytes]():      reflect.TypeFor[bytesSchema](),
		reflect.TypeFor[models.State]():      reflect.TypeFor[stateSchema](),
		reflect.TypeFor[models.PoolPolicy](): reflect.TypeFor[policySchema](),
		reflect.TypeFor[models.Items]():      reflect.TypeFor[itemsSchema](),
		reflect.TypeFor[models.ShardSize]():  reflect.TypeFor[shardSchema](),
		reflect.TypeFor[huma.ErrorModel]():   reflect.TypeFor[wire.Problem](),
	} {
		r.RegisterTypeAlias(t, alias)
	}
}

type prioritySchema struct{}

func (prioritySchema) Schema(huma.Registry) *huma.Schema {
	low, high := 0.0, 100.0
	return &huma.Schema{
		Description: "critical (90), high (70), normal (50), low (30), or an integer",
		OneOf: []*huma.Schema{
			{Type: huma.TypeString, Enum: []any{"critical", "high", "normal", "low"}},
			{Type: huma.TypeInteger, Minimum: &low, Maximum: &high},
		},
	}
}

type durationSchema struct{}

func (durationSchema) Schema(huma.Registry) *huma.Schema {
	low := 0.0
	return &huma.Schema{
		Description: "A duration such as 500ms, 10m or 1h30m; a number is seconds",
		OneOf:       []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeNumber, Minimum: &low}},
	}
}

type bytesSchema struct{}

func (bytesSchema) Schema(huma.Registry) *huma.Schema {
	low := 0.0
	return &huma.Schema{
		Description: "An amount such as 512MiB or 2GB; a number is bytes",
		OneOf:       []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeNumber, Minimum: &low}},
	}
}

type itemsSchema struct{}

func (itemsSchema) Schema(huma.Registry) *huma.Schema {
	least, most := 2, 3
	text, number := &huma.Schema{Type: huma.TypeString}, &huma.Schema{Type: huma.TypeNumber}
	return &huma.Schema{
		Description: "Texts, or a range of integers: its ends, and a step where it is not 1",
		OneOf: []*huma.Schema{
			{Type: huma.TypeArray, Items: &huma.Schema{OneOf: []*huma.Schema{text, number}}},
			{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
				"range": {Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeInteger}, MinItems: &least, MaxItems: &most},
			}, Required: []string{"range"}},
		},
	}
}

type shardSchema struct{}

func (shardSchema) Schema(huma.Registry) *huma.Schema {
	low := 1.0
	return &huma.Schema{
		Description: "Items a shard; auto lets measurements decide",
		OneOf:       []*huma.Schema{{Type: huma.TypeString, Enum: []any{"auto"}}, {Type: huma.TypeInteger, Minimum: &low}},
	}
}

type stateSchema struct{}

func (stateSchema) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, v := range models.States() {
		s.Enum = append(s.Enum, string(v))
	}
	return s
}

type policySchema struct{}

func (policySchema) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, v := range models.PoolPolicies() {
		s.Enum = append(s.Enum, string(v))
	}
	return s
}

// jsonOf is a JSON body or answer of type T.
func jsonOf[T any](a *API) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: a.schema(reflect.TypeFor[T]())}}
}

func (a *API) schema(t reflect.Type) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
}

// answers describes an answer that huma cannot see, because we write it.
func answers(status, description string, content map[string]*huma.MediaType) map[string]*huma.Response {
	return map[string]*huma.Response{status: {Description: description, Content: content}}
}

func text(kind, description string) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{kind: {Schema: &huma.Schema{Type: huma.TypeString, Description: description}}}
}
