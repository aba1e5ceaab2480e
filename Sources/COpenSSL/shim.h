#pragma once

// As in CLiburing's shim: without these first the debug build meets two definitions of fd_set.
#include <features.h>
#include <sys/types.h>
#include <sys/select.h>

// SHA256_Init, _Update and _Final count as deprecated since 3.0; why they are used all the same
// is in docs/decisions/0005-openssl-for-identity.md.
#define OPENSSL_SUPPRESS_DEPRECATED

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
