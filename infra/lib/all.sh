# shellcheck shell=bash
# Everything that ./infra/up and ./infra/test share. ROOT is the folder of the checkout.

export HOME=${HOME:-~}   # a service or a bare container may have none

# shellcheck source=say.sh
source "$ROOT/infra/lib/say.sh"
# shellcheck source=run.sh
source "$ROOT/infra/lib/run.sh"
# shellcheck source=parts.sh
source "$ROOT/infra/lib/parts.sh"
# shellcheck source=engine.sh
source "$ROOT/infra/lib/engine.sh"
# shellcheck source=services.sh
source "$ROOT/infra/lib/services.sh"
# shellcheck source=build.sh
source "$ROOT/infra/lib/build.sh"
# shellcheck source=stack.sh
source "$ROOT/infra/lib/stack.sh"
