package cache

// FactsInIndex returns where k keeps facts when its Options name no place.
func (k *Cache) FactsInIndex() Facts { return indexFacts{k.index} }

// IndexVersion is the one that this program writes.
const IndexVersion = schemaVersion
