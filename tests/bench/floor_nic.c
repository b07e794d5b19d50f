/* floor_nic create LXCPATH NAME PID veth BRIDGE: the floor of lxc-user-nic.
 *
 * One message makes the pair, its one end on the bridge, its other in the container; a second brings the
 * first end up. It believes everything, counts nothing and writes nothing down. No program that makes a NIC
 * can cost less. */
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <sys/socket.h>

#include "bare.h"

static char message[512] __attribute__((aligned(4))), answer[8192] __attribute__((aligned(4)));
static struct nlmsghdr *const head = (struct nlmsghdr *)message;

static struct ifinfomsg *begin(unsigned short flags)
{
	head->nlmsg_type = RTM_NEWLINK;
	head->nlmsg_flags = NLM_F_REQUEST | flags;
	head->nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg));
	return NLMSG_DATA(head);
}

static struct rtattr *open_attribute(unsigned short type)
{
	struct rtattr *attribute = (struct rtattr *)(message + head->nlmsg_len);
	attribute->rta_type = type;
	attribute->rta_len = RTA_LENGTH(0);
	head->nlmsg_len += RTA_LENGTH(0);
	return attribute;
}

static void close_attribute(struct rtattr *attribute)
{
	attribute->rta_len = message + head->nlmsg_len - (char *)attribute;
	head->nlmsg_len = NLMSG_ALIGN(head->nlmsg_len);
}

static void put_text(unsigned short type, const char *text)
{
	struct rtattr *attribute = open_attribute(type);
	head->nlmsg_len = add(message + head->nlmsg_len, text) + 1 - message;
	close_attribute(attribute);
}

static void put_number(unsigned short type, int number)
{
	struct rtattr *attribute = open_attribute(type);
	*(int *)(message + head->nlmsg_len) = number;
	head->nlmsg_len += sizeof number;
	close_attribute(attribute);
}

/* Else the kernel makes a queue for each processor, and then takes all but one away. */
static void put_one_queue(void)
{
	put_number(IFLA_NUM_TX_QUEUES, 1);
	put_number(IFLA_NUM_RX_QUEUES, 1);
}

/* Sends the message and reads the one answer to it. */
static const struct nlmsghdr *ask(long kernel)
{
	const struct nlmsghdr *got = (const struct nlmsghdr *)answer;
	if (call3(SYS_WRITE, kernel, (long)message, head->nlmsg_len) < 0 ||
	    call3(SYS_READ, kernel, (long)answer, sizeof answer) < (long)NLMSG_LENGTH(sizeof(int)) ||
	    (got->nlmsg_type == NLMSG_ERROR && *(int *)NLMSG_DATA(got) != 0))
		leave(1);
	return got;
}

static char *add_number(char *to, unsigned number)
{
	if (number >= 10)
		to = add_number(to, number / 10);
	*to++ = '0' + number % 10;
	return to;
}

_Noreturn void start(long *stack)
{
	char **argv = (char **)(stack + 1), path[64], line[64], *end;
	const char *pid = argv[4], *bridge = argv[6];
	/* As the name has, so has the address something of its own: a bridge takes no address twice. */
	unsigned char name[IFNAMSIZ], address[8] = { 0xfe, 0xf1 };
	unsigned number = 0;
	struct ifreq request;

	*add(add(add(path, "/proc/"), pid), "/ns/net") = 0;
	*add(add((char *)name, "f"), pid) = 0;
	*add(request.ifr_name, bridge) = 0;
	for (const char *digit = pid; *digit; digit++)
		number = number * 10 + (*digit - '0');
	*(unsigned *)(address + 2) = number;

	long netns = call3(SYS_OPEN, (long)path, O_RDONLY, 0);
	long kernel = call3(SYS_SOCKET, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	if (netns < 0 || kernel < 0 || call3(SYS_IOCTL, kernel, SIOCGIFINDEX, (long)&request) < 0)
		leave(1);

	/* NLM_F_ECHO: the answer is the new link, with the indexes of both its ends. */
	begin(NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO);
	put_text(IFLA_IFNAME, (char *)name);
	put_number(IFLA_MASTER, request.ifr_ifindex);
	put_one_queue();
	struct rtattr *mac = open_attribute(IFLA_ADDRESS);
	*(unsigned long *)(message + head->nlmsg_len) = *(unsigned long *)address;
	head->nlmsg_len += 6;
	close_attribute(mac);
	struct rtattr *info = open_attribute(IFLA_LINKINFO);
	put_text(IFLA_INFO_KIND, "veth");
	struct rtattr *data = open_attribute(IFLA_INFO_DATA);
	struct rtattr *peer = open_attribute(VETH_INFO_PEER);
	head->nlmsg_len += sizeof(struct ifinfomsg);
	put_text(IFLA_IFNAME, "eth0");
	put_number(IFLA_NET_NS_FD, netns);
	put_one_queue();
	close_attribute(peer);
	close_attribute(data);
	close_attribute(info);
	const struct nlmsghdr *link = ask(kernel);
	int index = ((struct ifinfomsg *)NLMSG_DATA(link))->ifi_index, peer_index = 0;
	int left = IFLA_PAYLOAD(link);
	for (struct rtattr *at = IFLA_RTA(NLMSG_DATA(link)); RTA_OK(at, left); at = RTA_NEXT(at, left))
		if (at->rta_type == IFLA_LINK)
			peer_index = *(int *)RTA_DATA(at);

	struct ifinfomsg *up = begin(NLM_F_ACK);
	up->ifi_index = index;
	up->ifi_flags = up->ifi_change = IFF_UP;
	ask(kernel);

	end = add_number(add(line, "eth0:"), peer_index);
	end = add_number(add(add(add(end, ":"), (char *)name), ":"), index);
	*end++ = '\n';
	leave(call3(SYS_WRITE, 1, (long)line, end - line) != end - line);
}
