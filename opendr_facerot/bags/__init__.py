"""Faces added to recordings (rosbag2) without a ROS installation: ``facerot bag``.

The folder ``msg`` is a link to the message definitions of ``opendr_facerot_interfaces``, which are
so part of this package too.
"""
