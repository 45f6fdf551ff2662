"""RTP, RTCP, telephone-events, the rtpdump journal and address latching: no sockets, no clocks."""
