"""`python -m services`: the whole stack as local processes, without Docker. Its rooms are in `services/stack`."""

import os
import sys

from services.stack.app import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
