# In the place of modules/monitoring/composite-alarms.tf: the imitation takes no composite alarms.
locals {
  composite_names = keys(local.composites)
}
