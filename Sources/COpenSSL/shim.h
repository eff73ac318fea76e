// OpenSSL 3, and its macros as functions, because Swift imports no macro that takes arguments or needs a cast.
#ifndef CROP_OPENSSL_H
#define CROP_OPENSSL_H
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "OpenSSL 3.0 or newer is needed"
#endif

static inline int crop_ssl_ctx_set_min_version(SSL_CTX *context, int version) {
  return (int)SSL_CTX_set_min_proto_version(context, version);
}

static inline int crop_ssl_ctx_set_max_version(SSL_CTX *context, int version) {
  return (int)SSL_CTX_set_max_proto_version(context, version);
}

/// No compression (CRIME), no renegotiation (a cheap way to make a server work), our order of ciphers unless the
/// client prefers ChaCha20 because it has no AES instructions.
static inline void crop_ssl_ctx_set_server_options(SSL_CTX *context) {
  SSL_CTX_set_options(
      context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                   SSL_OP_PRIORITIZE_CHACHA);
}

/// A write may take part of its bytes and come back with them elsewhere; idle connections hold no record buffers.
static inline void crop_ssl_ctx_set_modes(SSL_CTX *context) {
  SSL_CTX_set_mode(
      context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
}

/// Sessions live in the tickets that clients keep; the server remembers none.
static inline void crop_ssl_ctx_set_no_session_cache(SSL_CTX *context) {
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

/// Takes over the reference to `certificate` when it succeeds.
static inline int crop_ssl_ctx_add0_chain_certificate(SSL_CTX *context, X509 *certificate) {
  return (int)SSL_CTX_add0_chain_cert(context, certificate);
}

static inline void crop_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }

static inline void crop_bio_set_retry_read(BIO *bio) { BIO_set_retry_read(bio); }

/// Bytes in a memory BIO; `*data` points at them until it is written to.
static inline long crop_bio_memory(BIO *bio, char **data) { return BIO_get_mem_data(bio, data); }

/// RFC 2253 with UTF-8 as it is.
static inline unsigned long crop_name_format(void) { return XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB; }

/// Whether `code` says that a PEM file has no (further) block.
static inline int crop_error_is_end_of_pem(unsigned long code) {
  return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

#endif
