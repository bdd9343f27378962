# Certificates for trying TLS on this machine; the Makefile includes this file.

CERTS := $(VAR)/certs
CERT_NAMES ?= localhost
CERT_DAYS ?= 365
comma := ,
empty :=
space := $(empty) $(empty)

# The names that the certificate is for, as subjectAltName: DNS:… and IP:….
cert-alternatives = $(subst $(space),$(comma),IP:127.0.0.1 IP:::1 $(addprefix DNS:,$(CERT_NAMES)))

.PHONY: certs
certs: ## a local CA and a certificate in var/certs, for the proxy's --tls-certificate; CERT_NAMES="localhost chat.lan"
	@command -v openssl >/dev/null || { echo "certs: needs the command openssl" >&2; exit 1; }
	@mkdir -p -m 0700 $(CERTS)
	@umask 077; set -e; cd $(CERTS); \
	trap 'rm -f config new.csr new.crt new.key' EXIT; \
	printf '%s\n' '[req]' 'distinguished_name = name' 'prompt = no' '[name]' 'CN = WeApRous local CA' \
	    '[ca]' 'basicConstraints = critical,CA:TRUE,pathlen:0' 'keyUsage = critical,keyCertSign,cRLSign' \
	    'subjectKeyIdentifier = hash' \
	    '[server]' 'basicConstraints = critical,CA:FALSE' 'keyUsage = critical,digitalSignature' \
	    'extendedKeyUsage = serverAuth' 'subjectKeyIdentifier = hash' 'authorityKeyIdentifier = keyid' \
	    'subjectAltName = $(cert-alternatives)' > config; \
	if [ ! -e ca.key ] || [ ! -e ca.pem ]; then \
	    openssl ecparam -name prime256v1 -genkey -noout -out ca.key; \
	    openssl req -x509 -new -key ca.key -sha256 -days 3650 -config config -extensions ca -out ca.pem; \
	fi; \
	openssl ecparam -name prime256v1 -genkey -noout -out new.key; \
	openssl req -new -key new.key -sha256 -config config -subj '/CN=$(firstword $(CERT_NAMES))' -out new.csr; \
	openssl x509 -req -in new.csr -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days $(CERT_DAYS) \
	    -extfile config -extensions server -out new.crt 2>/dev/null; \
	cat new.crt new.key > server.pem.new; mv server.pem.new server.pem
	@echo "$(CERTS)/server.pem: certificate and key for $(CERT_NAMES), 127.0.0.1 and ::1, for $(CERT_DAYS) days"
	@echo "$(CERTS)/ca.pem: the CA that clients have to trust: curl --cacert $(CERTS)/ca.pem https://localhost:8443/"
	@echo "Start: python3 -m services.proxy --tls-certificate $(CERTS)/server.pem"
