"""ROS 2 nodes: a policy, the machine it commands, who watches both, and what is asked of them."""
