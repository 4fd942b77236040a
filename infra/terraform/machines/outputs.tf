output "trusted" {
  description = "The user data of a trusted machine."
  value       = "#cloud-config\n${yamlencode(local.trusted)}"
}

output "grader" {
  description = "The user data of a grader."
  value       = "#cloud-config\n${yamlencode(local.grader)}"
}
