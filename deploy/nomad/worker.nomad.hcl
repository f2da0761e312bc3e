# A worker per allocation. The coordinator's address and a join token are variables of the job; the token is none of the command line, which others can read:
#   NOMAD_VAR_token="$ROUNDTABLE_TOKEN" nomad job run -var coordinator=https://coordinator.example.org:7420 deploy/nomad/worker.nomad.hcl
variable "coordinator" {
  type = string
}

variable "token" {
  type    = string
  default = ""
}

job "roundtable-worker" {
  type = "service"

  group "worker" {
    count = 2

    ephemeral_disk {
      size = 20000
    }

    task "worker" {
      driver = "raw_exec"
      # The first signal drains; whoever is still at work when it is over is killed, and what it has uploaded by then is gone on from.
      kill_signal  = "SIGTERM"
      kill_timeout = "10m"

      config {
        command = "worker"
        args    = ["join", "--backend", "codex", "--name", "nomad-${NOMAD_SHORT_ALLOC_ID}", "--workspace", "${NOMAD_ALLOC_DIR}/worker"]
      }

      env {
        ROUNDTABLE_COORDINATOR = "${var.coordinator}"
        ROUNDTABLE_TOKEN       = "${var.token}"
      }

      resources {
        cpu    = 1000
        memory = 2048
      }
    }
  }
}
