# In the place of modules/functions/autoscaling.tf: the imitation cannot list the tags of a scalable target, which the
# provider does at each read. Nothing refers to what stands there.
