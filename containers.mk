# The containers' part of the Makefile, which includes this file. Needs Docker Engine 25 and Compose 2.24, or newer.
# What the commands do, and everything else an operator asks: docs/operations.md.

BACKENDS ?= $(or $(shell sed -n 's/^BACKENDS=//p' .env 2>/dev/null),3)
PEERS_FILE ?= compose.override.yaml
BUILDX_NO_DEFAULT_ATTESTATIONS ?= 1
export BUILDX_NO_DEFAULT_ATTESTATIONS # else some engines give an unchanged image a new id, and `up` starts it anew

# The words are those of `make run` (a test holds it); the addresses are what the engine really published.
define print-greeting
at() { docker compose port "$$@" | sed 's/^127\.0\.0\.1:/localhost:/; s/^0\.0\.0\.0:/localhost:/; s/^\[::\]:/localhost:/'; }; \
login='as admin, or as a user of users.json'; \
docker compose exec -T backend python -c "$$IS_FIRST_PASSWORD" 2>/dev/null && login='admin / password'; \
count() { n=$$(docker compose ps --format '{{.Service}}' | grep -c "^$$1"); [ $$n -eq 1 ] && echo "1 $$1" || echo "$$n $$1s"; }; \
printf '\nWeApRous is running: %s, %s.\n\n' "$$(count backend)" "$$(count peer)"; \
printf '%-10s%s\n' Open "http://$$(at proxy 8080)" 'Log in' "$$login" \
    Tracker "http://$$(at tracker 9000)" Stop 'make down'
endef
define IS_FIRST_PASSWORD
import pathlib, sys
from shared.runtime.users_file import is_default_password, read_users
admin = read_users(pathlib.Path("/users/users.json"))[0].get("admin")
sys.exit(not (admin and is_default_password(admin)))
endef
export IS_FIRST_PASSWORD

.PHONY: up down logs peers up-user e2e engine-answers

up: engine-answers ## the stack as containers; BACKENDS=3 replicas, published on BIND=127.0.0.1, PORT=8080
	docker compose up -d --build --wait --scale backend=$(BACKENDS)
	@$(print-greeting)

down: engine-answers ## stop and remove the containers; messages, users and keys stay in their volumes
	docker compose --profile test down --remove-orphans

logs: engine-answers ## follow the containers' logs; S=proxy for one service
	docker compose logs --follow --tail 100 $(S)

up-user: engine-answers ## a login for the containers: NAME=an PEERS=p1,p2 (asks for the password, or reads it from a pipe)
	@test -n "$(NAME)" || { echo "up-user: NAME= is missing: make up-user NAME=an PEERS=p1,p2" >&2; exit 1; }
	@if [ -t 0 ]; then how=; else how="-T"; fi; \
	docker compose run --rm $$how keys python -m shared.runtime.users_file \
	    add "$(NAME)" $(if $(PEERS),--peers "$(PEERS)") $${how:+--password-stdin}

e2e: engine-answers ## pytest against the running containers, from inside their network
	docker compose --profile test run --build --rm test

# The file repeats compose.yaml's anchors, which YAML can't share between files, and copies of peer3.
peers: ## how many peer containers: N=5 writes compose.override.yaml with peer4 and peer5, N=3 removes it
	@case "$(N)" in [3-9]|[1-9][0-9]) ;; *) echo "peers: N: got '$(N)', expected a number from 3 to 99" >&2; exit 1;; esac
	@if [ -e "$(PEERS_FILE)" ] && ! head -n 1 "$(PEERS_FILE)" | grep -q 'make peers'; then \
	    echo "peers: $(PEERS_FILE) was not written by make peers: move it away first" >&2; exit 1; fi
	@for peer in $$(sed -n 's/^  peer\([0-9]*\):$$/\1/p' "$(PEERS_FILE)" 2>/dev/null); do \
	    [ $$peer -le $(N) ] || ! docker info >/dev/null 2>&1 || \
	    docker compose -f compose.yaml -f "$(PEERS_FILE)" rm --stop --force peer$$peer; done
	@rm -f "$(PEERS_FILE)"
	@[ $(N) -eq 3 ] || { \
	    echo '# Written by `make peers N=$(N)`; `make peers N=3` removes it.'; \
	    sed -n '/^x-/,/^services:/p' compose.yaml; \
	    for peer in $$(seq 4 $(N)); do \
	        sed -n '/^  peer3:/,/^$$/p' compose.yaml | sed "s/peer3/peer$$peer/g; s/: p3$$/: p$$peer/; \
	            s/7512/$$((7509 + peer))/g; s/7012/$$((7009 + peer))/g"; \
	    done; \
	    echo 'volumes:'; \
	    for peer in $$(seq 4 $(N)); do echo "  peer$$peer-data:"; done; \
	    } > "$(PEERS_FILE)"
	@echo "Peers p1 to p$(N). \`make up\` starts them; messages of a peer that went stay in its volume."

engine-answers:
	@docker info >/dev/null 2>&1 || { echo "No container engine answers (\`docker info\` fails)." \
	    "\`make run\` starts the same stack as local processes." >&2; exit 1; }
