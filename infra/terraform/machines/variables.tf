variable "trusted" {
  description = "The private addresses of the trusted machines; the first has the platform's own registry."
  type        = list(string)

  validation {
    condition     = length(var.trusted) > 0
    error_message = "Without a trusted machine graders have nothing to do and nowhere to get it."
  }
}

variable "network" {
  description = "The private network of all machines, as a range (CIDR)."
  type        = string
}

variable "fenced" {
  description = "The range of that network that graders have; trusted machines then let nothing in from there but what graders need. Empty where the cloud's own firewall does that."
  type        = string
  default     = ""
}

variable "quarantine_port" {
  description = "The port at which graders read from the platform's own registry, on the first trusted machine."
  type        = number
  default     = 5001
}

variable "slot_pool" {
  description = "The private addresses of slots: PORTCALL_SLOT_POOL of the workers."
  type        = string
  default     = "10.213.0.0/16"
}

variable "disk" {
  description = "The grader's disk for the engine's data."
  type        = string
}

variable "root_size" {
  description = "What a container may write to its root on a grader, as overlay2.size takes it."
  type        = string
  default     = "256M"
}
