/*
 * What the sensor's OpenSSH does beyond Debian's: it writes events (files/strandline/protocols/ssh/events.yml) and lets nobody in.
 *
 * sensor.c runs in sshd, the listener, and in sshd-session, the monitor; never in sshd-auth, the process that talks to the
 * client: that one only sends requests over the monitor's pipe (sensor_auth.c). So addresses, ports and the time of an
 * event come from a process that has read nothing of the client's but its identification line.
 */
#ifndef SENSOR_H
#define SENSOR_H

#include <sys/types.h>
#include <sys/socket.h>

struct ssh;

/* The methods of an event whose names are ours; they become the trusted field `method`. */
enum sensor_method {
	SENSOR_PASSWORD,
	SENSOR_KBDINT,
	SENSOR_PUBLICKEY,
	SENSOR_HOSTBASED
};

/*
 * sshd: a connection that will get no session of its own (no memory for a process). Writes its ssh.client event with
 * what the client has sent so far. `peer` is what accept(2) returned. Never waits for the client.
 */
void	sensor_refused(int sock, const struct sockaddr *peer);

/*
 * sshd, in the child that becomes sshd-session: hands `peer` on in the environment. A client that resets the connection
 * at once has no address in getpeername(2) any more when sshd-session asks.
 */
void	sensor_pass_peer(const struct sockaddr *peer, socklen_t length);

/* sshd: a connection was ended for a newer one. Tells the operator how many, at most once a minute. */
void	sensor_count_evicted(void);

/*
 * sshd-session: takes the addresses of the connection, and holds SIGTERM back until sensor_catch_stop(): by then it ends
 * the process in a way that loses no event. First thing in main().
 */
void	sensor_connection(int sock);

/* sshd-session: the pipe on which the listener is told that the client got on. */
void	sensor_set_listener(int pipe);

/* sshd-session: the client got on. Among many the listener ends the connection for which this is the longest ago. */
void	sensor_progress(void);

/*
 * sshd-session: the client's identification line (RFC 4253, section 4.2). `valid`: an SSH 2 identification; `whole`: its
 * line end was seen. Writes the ssh.client event, once.
 */
void	sensor_client(int sock, int valid, int whole, const u_char *line, size_t length);

/*
 * sshd-session, told by sshd-auth: SSH_MSG_USERAUTH_REQUEST (RFC 4252, section 5) with user and method as sent. Writes
 * ssh.method at once for a method that has no event of its own. For the others it is kept until sensor_password() or
 * sensor_key() makes a better one of it, or until the next request or the end of the connection shows that none came.
 */
void	sensor_request(const u_char *user, size_t user_length, const u_char *method, size_t method_length);

/*
 * sshd-session, told by sshd-auth: the password of the request (RFC 4252, section 8), or an answer to a question (RFC 4256,
 * section 3.4), of which there may be several, and some that nobody asked for.
 */
void	sensor_password(enum sensor_method method, const u_char *password, size_t length);

/*
 * sshd-auth: tells sshd-session what a packet of the client's holds, as it was sent and before anything judges it. All of
 * them pass here (dispatch_watch).
 */
void	sensor_packet(struct ssh *ssh, u_char type);

/* sshd-session, told by sshd-auth: the public key of the request (RFC 4252, sections 7 and 9). */
void	sensor_key(enum sensor_method method, int with_signature, const u_char *blob, size_t length);

/* sshd-session: the connection ends. Writes what is still owed. */
void	sensor_end(void);

/*
 * sshd-session: from here on SIGALRM (LoginGraceTime) and SIGTERM end the connection in a way that comes by
 * sensor_end(): the client's socket is shut down and sshd-auth killed, which wakes whatever waits for them.
 */
void	sensor_catch_stop(int sock);

/* sshd-session: the process that serves the client; -1 while there is none. */
void	sensor_set_child(pid_t pid);

#endif /* SENSOR_H */
