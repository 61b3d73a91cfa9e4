package models

// DecodeTasksByField is DecodeTasks without its short way.
func DecodeTasksByField(data []byte, source string) ([]TaskSpec, error) {
	return decodeTasks(data, source, false)
}
