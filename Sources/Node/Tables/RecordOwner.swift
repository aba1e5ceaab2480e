import Keyspace

/// The number a record's owner has in the keyspace. Identity has a `Principal` of its own, and the
/// module Keyspace can't be named where its type of the same name is seen.
typealias RecordOwner = Principal
